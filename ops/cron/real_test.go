package cron

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
)

// needCron skips where Debian's cron can't be run in a mount namespace of its own, and fails there in CI.
func needCron(t *testing.T) {
	t.Helper()
	server.NeedRoot(t, "a mount namespace")
	for _, program := range []string{"cron", "crontab", "unshare", "mount"} {
		server.Binary(t, program)
	}
}

// sandbox hides the machine's crontabs, /run and /dev/log behind folders below $1, then runs the rest. /dev gets a new
// mount that holds the old null and a link to the test's log socket.
const sandbox = `set -e
d=$1; shift
mount --make-rprivate /
mkdir -p $d/cron.d $d/spool $d/run $d/dev
chmod 1730 $d/spool; chown root:crontab $d/spool
: >$d/crontab; : >$d/dev/null
mount --bind /dev/null $d/dev/null
ln -s $d/log $d/dev/log
mount --bind $d/cron.d /etc/cron.d
mount --bind $d/spool /var/spool/cron/crontabs
mount --bind $d/crontab /etc/crontab
mount --bind $d/run /run
mount --rbind $d/dev /dev
exec "$@"`

// inSandbox is a command in a mount namespace of its own; dir holds what it sees of cron's files.
func inSandbox(ctx context.Context, dir string, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "unshare", append([]string{"-m", "sh", "-c", sandbox, "sh", dir}, argv...)...)
}

// blocks makes the blocks of three nodes in zones with and without clock changes.
func blocks(t *testing.T, user string) []string {
	t.Helper()
	f := newFleet(t, "web1", "web2", "web3")
	o, err := Lay(f.d, nil, date)
	if err != nil {
		t.Fatal(err)
	}
	console := map[string][]string{}
	for _, j := range o.Jobs {
		console[j.Name] = j.Console
	}
	var list []string
	for _, n := range f.d.Nodes {
		n.PHP.Command = []string{"php", "-d", "memory_limit=100%", "-d", "x='y'"}
		var own []Schedule
		for _, s := range o.Schedules {
			if s.Node == n.Name {
				own = append(own, s)
			}
		}
		block, err := blockOf(f.d.Name, n, own, console, user)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, block)
	}
	return list
}

// Debian's crontab installs a user's crontab with our block, and gives back every byte.
func TestDebianCrontabAcceptsTheBlock(t *testing.T) {
	needCron(t)
	for i, block := range blocks(t, "") {
		// Foreign lines that cron accepts, with all that could confuse.
		foreign := strings.Join(strings.SplitAfter(foreignTable, "\n")[2:7], "")
		want := string(parse(t, foreign, false).WithBlock(block))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		cmd := inSandbox(ctx, t.TempDir(), "sh", "-c", "crontab -u nobody - && crontab -u nobody -l")
		cmd.Stdin = strings.NewReader(want)
		out, err := cmd.Output()
		cancel()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("block %d: %v: %s", i, err, exit.Stderr)
		}
		if string(out) != want {
			t.Errorf("block %d came back as:\n%s\nnot:\n%s", i, out, want)
		}
	}
}

// Debian's cron loads our files from /etc/cron.d without a complaint, while it complains about a planted bad one.
func TestDebianCronLoadsTheFile(t *testing.T) {
	needCron(t)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "cron.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "cron.d", name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	for i, block := range blocks(t, "nobody") {
		write(FileName("prod "+string(rune('a'+i))), block, 0o644)
	}
	write("planted-bad", "99 * * * * nobody true\n", 0o644)
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "log"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := inSandbox(ctx, dir, "cron", "-f", "-L", "15")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if err := log.SetReadDeadline(time.Now().Add(25 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(seen.String(), "@reboot jobs") { // logged once all is loaded
		n, err := log.Read(buffer)
		if err != nil {
			t.Fatalf("%v; cron logged so far:\n%s", err, seen.String())
		}
		seen.Write(append(buffer[:n:n], '\n'))
	}
	text := seen.String()
	if !strings.Contains(text, "planted-bad") {
		t.Errorf("cron did not even see the bad file:\n%s", text)
	}
	if strings.Contains(text, "mosparoctl") {
		t.Errorf("cron complains about our files:\n%s", text)
	}
}

// Debian's crontab does look: a bad line in our form is refused.
func TestDebianCrontabRefusesABadLine(t *testing.T) {
	needCron(t)
	n := &inventory.Node{Name: "n", Paths: inventory.Paths{Root: "/srv"}}
	line, err := entryLine(n, Schedule{Slot: Slot{"x", "n"}, Fields: Fields{Text: "61 * * * *"}}, []string{"c"}, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := inSandbox(ctx, t.TempDir(), "crontab", "-u", "nobody", "-")
	cmd.Stdin = strings.NewReader(line + "\n")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "bad minute") {
		t.Errorf("crontab takes anything: %v, %s", err, out)
	}
}
