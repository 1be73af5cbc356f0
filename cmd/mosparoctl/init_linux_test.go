package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// openTerminal makes a terminal of two ends: what is written to user is typed, and what is shown is read there.
func openTerminal(t *testing.T) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return user, program
}

// On a terminal, init asks for what no flag says, explains a wrong answer and asks again.
func TestInitAsks(t *testing.T) {
	user, program := openTerminal(t)
	shown := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, user) // ends with an error when the program's end is closed
		shown <- b.String()
	}()
	answers := []string{"my shop", "shop", "web1=10.0.0.1 web2=10.0.0.2", "yes", "srv", "/srv/shop", "", "", "redis", "sqlite", "", "haproxy"}
	if _, err := io.WriteString(user, strings.Join(answers, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mosparo.yaml")
	var stdout bytes.Buffer
	status := run([]string{"init", file, "--user", "ops"}, program, &stdout, program)
	program.Close()
	dialogue := <-shown
	if status != 0 {
		t.Fatalf("exit status %d\n%s", status, dialogue)
	}
	d, err := inventory.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	n := d.Node("web2")
	if d.Name != "shop" || n == nil || n.SSH.User != "ops" || !n.SSH.Become || n.Paths.Root != "/srv/shop" || n.Owner.User != "www-data" ||
		d.Cache.Adapter != inventory.CacheRedis || d.Database.System != "mysql" || len(d.Balancers) != 1 {
		t.Errorf("inventory %+v, node %+v", d, n)
	}
	for _, want := range []string{`"my shop" is no name`, `"srv" is a relative path`, "SQLite is a file on one node"} {
		if !strings.Contains(dialogue, want) {
			t.Errorf("no %q in the dialogue:\n%s", want, dialogue)
		}
	}
	if strings.Contains(dialogue, "Login user") {
		t.Errorf("it asks for what a flag says:\n%s", dialogue)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
