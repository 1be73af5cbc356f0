package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const canary = "canary-5ecret"

// However a Secret, or what holds one, is printed, its value doesn't show.
func TestSecretNeverShowsItself(t *testing.T) {
	s := NewSecret(canary)
	d, err := Parse("shop.yaml", []byte(explained))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := d.Cache.URL.Resolve(t.Context()); !strings.Contains(v, canary) {
		t.Fatalf("the test's inventory has no secret: %q", v)
	}
	cache := Cache{URL: s}
	var outputs []string
	for _, v := range []any{s, &s, cache, &cache, []Secret{s}, map[string]Secret{"x": s}, struct{ S any }{s}, d.Cache, d.Database, d.Nodes[0].Cache} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%10s", "%-5v", "%t", "%p", "%U", "%c", "%!"} {
			outputs = append(outputs, fmt.Sprintf(verb, v))
		}
		outputs = append(outputs, fmt.Sprint(v), fmt.Sprintln(v), fmt.Errorf("x: %v", v).Error())
		if b, err := json.Marshal(v); err == nil {
			outputs = append(outputs, string(b))
		}
		if b, err := yaml.Marshal(v); err == nil {
			outputs = append(outputs, string(b))
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v, slog.Group("g", "v", v))
		outputs = append(outputs, log.String())
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		outputs = append(outputs, fmt.Sprintf(verb, d.Cache), fmt.Sprintf(verb, d.origins), fmt.Sprintf(verb, d.Warnings))
	}
	hex := fmt.Sprintf("%x", canary)
	for _, o := range outputs {
		if strings.Contains(o, canary) || strings.Contains(strings.ToLower(o), hex) {
			t.Errorf("the secret shows: %s", o)
		}
	}
	if got := fmt.Sprint(s); got != secretMask {
		t.Errorf("printed as %q", got)
	}
	if got := fmt.Sprint(NewSecret("")); got != "" {
		t.Errorf("nothing is printed as %q", got)
	}
}

func TestSecretReference(t *testing.T) {
	for ref, want := range map[string]string{"": "", "env:X": "env:X", "file:/x": "file:/x", "cmd:pass x": "cmd:pass x", canary: secretMask, "redis://x": secretMask} {
		if got := NewSecret(ref).Reference(); got != want {
			t.Errorf("Reference of %q is %q, want %q", ref, got, want)
		}
	}
}

func TestSecretResolve(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("from-file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("INVENTORY_TEST", "from-env")
	for ref, want := range map[string]string{"plain": "plain", "": "", "env:INVENTORY_TEST": "from-env", "file:" + file: "from-file",
		"cmd:printf 'from cmd\\n\\n'": "from cmd\n", "redis://x": "redis://x"} {
		if got, err := NewSecret(ref).Resolve(t.Context()); err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v; want %q", ref, got, err, want)
		}
	}
	for _, ref := range []string{"env:INVENTORY_TEST_UNSET", "file:" + file + ".none", "cmd:echo " + "out; exit 3"} {
		v, err := NewSecret(ref).Resolve(t.Context())
		if err == nil || v != "" || !strings.Contains(err.Error(), ref) {
			t.Errorf("Resolve(%q) = %q, %v; want an error that names the reference", ref, v, err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewSecret("cmd:echo x").Resolve(cancelled); err == nil {
		t.Error("a cancelled command gives a value")
	}
}
