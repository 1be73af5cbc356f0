package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun collects what mosparoctl is made of.
func TestRun(t *testing.T) {
	output := filepath.Join(t.TempDir(), "new", "LICENSES")
	if err := run("github.com/mosparoctl/mosparoctl/cmd/mosparoctl", output); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"std go1.", "github.com/spf13/cobra v", "github.com/prometheus/common v", " NOTICE\n", "Mozilla Public License"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if n := strings.Count(string(data), "\nmodernc.org/sqlite v"); n < 1 || strings.Contains(string(data), "github.com/mosparoctl/") {
		t.Errorf("SQLite stands there %d times, or the program itself does", n)
	}
}

func TestWriteRefusesAModuleWithoutLicence(t *testing.T) {
	if err := run("./nowhere", filepath.Join(t.TempDir(), "LICENSES")); err == nil {
		t.Error("a package that is not there has licences")
	}
	if err := write(nil, module{path: "example.org/x", dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "example.org/x has no licence") {
		t.Errorf("no licence: %v", err)
	}
}
