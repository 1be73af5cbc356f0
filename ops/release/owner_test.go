package release

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// As root, files are given to the owner the inventory names; as anybody else, the owner can only be oneself.
func TestFilesBelongToTheOwner(t *testing.T) {
	l := newLab(t, t.TempDir(), 1)
	n := l.d.Nodes[0]
	name := "nobody"
	if os.Getuid() != 0 {
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		name = me.Username
	}
	want, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	n.Owner = inventory.Owner{User: name}
	n.PHP.User = strconv.Itoa(os.Getuid()) // the test's own PHP lies where nobody else may go
	l.d.Release.Warm, l.d.Release.Migrate = false, false
	l.install("1.5.3")
	if err := os.Chown(configPath(n), os.Getuid(), os.Getgid()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(configPath(n), 0o600); err != nil {
		t.Fatal(err)
	}
	l.mustDeploy(l.tree("1.5.4", 5))
	l.mustBeOn("1.5.4")
	err = filepath.WalkDir(releasePath(n, l.current("app1")), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; strconv.Itoa(int(uid)) != want.Uid && info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s belongs to %d, want %s", p, uid, want.Uid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(configPath(n))
	if err != nil {
		t.Fatal(err)
	}
	if uid := st.Sys().(*syscall.Stat_t).Uid; int(uid) != os.Getuid() || st.Mode().Perm() != 0o600 {
		t.Errorf("the configuration became uid %d, mode %v", uid, st.Mode())
	}
	if p := l.mustDeploy(l.tree("1.5.4", 5)); !p.Plan.Empty() {
		t.Errorf("second deploy:\n%s", l.text(p))
	}
}
