package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/tui/tuitest"
)

// TestTUIDrawsTheDatabases looks at two MariaDB servers of which one replicates from the other, and sees the replication break.
func TestTUIDrawsTheDatabases(t *testing.T) {
	t.Parallel()
	x := tuitest.Open(t, 120, 40, "TERM=xterm-256color")
	d := holdDemo(t)
	primary := server.StartMariaDB(t, "--server-id=11", "--log-bin=bin")
	replica := server.StartMariaDB(t, "--server-id=12", "--read-only=1")
	replica.Follow(t, primary, "127.0.0.1")
	d.useDatabases(t, primary, replica)

	d.open(x)
	x.Keys("8")
	x.Wait(`(?s)db1 .*takes writes.*db2 .*stands by.*lag +0 s .*db-servers`)
	x.Wait(`(?s)cache-reach .*app1 +round trip +\d.*app3 +round trip +\d`)
	x.Capture("data")
	replica.Execute(t, "STOP SLAVE")
	x.Keys("r")
	x.Wait(`✗ db2 `)
	x.Capture("data-fault")
	x.Resize(80, 24)
	x.Wait(`(?s)db1.*db2`)
	x.Resize(40, 12)
	x.Wait(`db1`)
	x.Keys("q")
	if status := x.Ended(); status != "0" {
		t.Errorf("exit status %s", status)
	}
}

// useDatabases writes servers into the inventory, and the first of them into the configuration of all nodes.
func (d heldDemo) useDatabases(t *testing.T, servers ...*server.MariaDB) {
	t.Helper()
	first := servers[0]
	list := fmt.Sprintf("\ndatabase:\n  topology: active-passive\n  user: %s\n  password: %s\n  servers:\n", first.User, first.Pass)
	for i, s := range servers {
		host, port, err := net.SplitHostPort(s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		list += fmt.Sprintf("    - {name: db%d, host: %s, port: %s}\n", i+1, host, port)
	}
	edit(t, d.inventory, "disabled: [php, database, cron]", "disabled: [php, cron, db-version]")
	edit(t, d.inventory, "\ncheck:\n", list+"\ncheck:\n")
	host, port, _ := net.SplitHostPort(first.Addr)
	for _, n := range d.nodes() {
		edit(t, filepath.Join(d.dir, n, "mosparo", "shared", "config", "env.mosparo.php"), "'database_driver' => 'pdo_mysql',",
			fmt.Sprintf("'database_driver' => 'pdo_mysql',\n  'database_host' => '%s',\n  'database_port' => '%s',\n  'database_name' => '%s',\n"+
				"  'database_user' => '%s',\n  'database_password' => '%s',", host, port, "mysql", first.User, first.Pass))
	}
}

// edit replaces text in a file, which must hold it.
func edit(t *testing.T, file, old, with string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%s does not hold %q: %v", file, old, err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, with, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
