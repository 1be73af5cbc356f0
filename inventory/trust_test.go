package inventory

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// An inventory that was not named is that of whoever put it into the working folder.
func TestFindRefusesWhatOthersPutThere(t *testing.T) {
	place := func(t *testing.T) {
		t.Chdir(t.TempDir())
		t.Setenv(EnvVar, "")
		if err := errors.Join(os.Chmod(".", 0o755), os.WriteFile(FileName, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	const other = 65534
	for name, tt := range map[string]struct {
		change func() error
		why    string // "" if it is ours
	}{
		"ours":                  {func() error { return nil }, ""},
		"a team's":              {func() error { return errors.Join(os.Chmod(".", 0o775), os.Chmod(FileName, 0o664)) }, ""},
		"in /tmp":               {func() error { return os.Chmod(".", 0o777|os.ModeSticky) }, ""},
		"everybody's":           {func() error { return os.Chmod(FileName, 0o666) }, ": it may be written to by everybody"},
		"in everybody's folder": {func() error { return os.Chmod(".", 0o777) }, "its folder may be written to by everybody"},
		"of another user":       {func() error { return os.Chown(FileName, other, -1) }, ": it belongs to user 65534"},
		"in another's folder":   {func() error { return os.Chown(".", other, -1) }, "its folder belongs to user 65534"},
		"a link of another user": {func() error {
			return errors.Join(os.Remove(FileName), os.Symlink("/dev/null", FileName), os.Lchown(FileName, other, -1))
		}, ": it belongs to"},
	} {
		t.Run(name, func(t *testing.T) {
			place(t)
			if err := tt.change(); err != nil {
				server.NeedRoot(t, "nobody else gives files away")
				t.Fatal(err)
			}
			got, err := Find("")
			if tt.why == "" {
				if err != nil || got != FileName {
					t.Errorf("found %q, %v", got, err)
				}
				return
			}
			if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("found %q, %v; want it refused since %s", got, err, tt.why)
			}
			if got, err := Find("./" + FileName); err != nil || got != "./"+FileName {
				t.Errorf("named it is %q, %v", got, err)
			}
		})
	}
	t.Run("of who called sudo", func(t *testing.T) {
		place(t)
		if err := os.Chown(FileName, other, -1); err != nil {
			server.NeedRoot(t, "nobody else gives files away")
			t.Fatal(err)
		}
		t.Setenv("SUDO_UID", "65534")
		if got, err := Find(""); err != nil || got != FileName {
			t.Errorf("found %q, %v", got, err)
		}
	})
	t.Run("in the user's configuration", func(t *testing.T) { // which is nobody else's business
		dir := t.TempDir()
		t.Chdir(t.TempDir())
		t.Setenv(EnvVar, "")
		t.Setenv("XDG_CONFIG_HOME", dir)
		t.Setenv("HOME", dir)
		config, err := os.UserConfigDir()
		if err != nil {
			t.Fatal(err)
		}
		want := filepath.Join(config, "mosparoctl", FileName)
		if err := errors.Join(os.MkdirAll(filepath.Dir(want), 0o777), os.WriteFile(want, nil, 0o666)); err != nil {
			t.Fatal(err)
		}
		if got, err := Find(""); err != nil || got != want {
			t.Errorf("found %q, %v", got, err)
		}
	})
}
