package balancer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
)

func TestHealthFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "healthy")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("fine\n")
	b := inventory.Balancer{Name: "lb", Kind: inventory.BalancerHealthFile, File: file, Wait: 30 * time.Millisecond}
	d := deployment(b)
	d.Nodes = d.Nodes[:1] // all nodes are this machine here, so one is enough
	s := newSet(t, d, Options{Force: true})

	start := time.Now()
	if err := s.Drain(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < b.Wait {
		t.Errorf("Drain gave the balancer only %s to notice", took)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if got := states(t, s); got != "lb/app1=drain" {
		t.Error(got)
	}
	if err := s.Ready(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "fine\n" {
		t.Errorf("got %q, %v", text, err)
	}

	// An operator who removed the file means it.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := states(t, s); got != "lb/app1=maint" {
		t.Error(got)
	}
	if err := s.Drain(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	if got := states(t, s); got != "lb/app1=maint" {
		t.Error(got)
	}
	if err := newSet(t, d, Options{}).Ready(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	if got := states(t, s); got != "lb/app1=ready" {
		t.Error(got)
	}
}

func TestCommand(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	b := inventory.Balancer{Name: "lb", Kind: inventory.BalancerCommand,
		Drain: []string{"sh", "-c", `echo "drain $1" >> "$2"`, "sh", "{node}", log},
		Ready: []string{"sh", "-c", `echo "ready $1" >> "$2"`, "sh", "{node}", log}}
	d := deployment(b)
	d.Nodes[0].Backend = map[string]string{"lb": "web; rm -rf"}
	s := newSet(t, d, Options{})
	if err := s.Drain(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log)
	if err != nil || string(text) != "drain web; rm -rf\nready web; rm -rf\n" {
		t.Errorf("got %q, %v", text, err)
	}

	b.Drain = []string{"sh", "-c", "echo no such pool >&2; exit 3"}
	err = newSet(t, deployment(b), Options{}).Drain(t.Context(), "app2")
	if err == nil || !strings.Contains(err.Error(), "app2: balancer lb: set drain") || !strings.Contains(err.Error(), "no such pool") {
		t.Errorf("got %v", err)
	}
}

const upstreamText = `# a comment with server app1;
upstream admin {
    server 10.0.0.1:80;
}
upstream app { # all
	keepalive 16;
	server 10.0.0.1:80 weight=2   max_fails=3;	# the first
    server 10.0.0.2:80 down;
    server unix:/run/app.sock;
}
server {
    listen 80;
}
`

func TestUpstreamFile(t *testing.T) {
	f := parseUpstream(upstreamText, "app")
	got := map[string]State{}
	for _, s := range f.servers() {
		got[s.Name] = s.State
	}
	want := map[string]State{"10.0.0.1:80": StateReady, "10.0.0.2:80": StateMaint, "unix:/run/app.sock": StateReady}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	drained := f.with("10.0.0.1:80", StateDrain)
	want1 := strings.Replace(upstreamText, "max_fails=3;", "max_fails=3 down; # drained by mosparoctl", 1)
	if diff := cmp.Diff(want1, drained); diff != "" {
		t.Fatal(diff)
	}
	again := parseUpstream(drained, "app")
	if s := again.servers()[0]; s.State != StateDrain {
		t.Errorf("got %+v", s)
	}
	if again.with("10.0.0.1:80", StateDrain) != drained {
		t.Error("draining twice changes the file twice")
	}
	if diff := cmp.Diff(upstreamText, again.with("10.0.0.1:80", StateReady)); diff != "" {
		t.Error(diff)
	}
	if got := f.with("10.0.0.2:80", StateReady); !strings.Contains(got, "server 10.0.0.2:80;\n") {
		t.Error(got)
	}
	// Without the upstream's name the server in both is one server.
	if all := parseUpstream(upstreamText, ""); strings.Count(all.with("10.0.0.1:80", StateDrain), drainMark) != 2 || len(all.servers()) != 3 {
		t.Errorf("got %+v", all.servers())
	}
	// A file that is the inside of an upstream block.
	if inside := parseUpstream("server a:80;\nserver b:80;", "app"); len(inside.servers()) != 2 {
		t.Errorf("got %+v", inside.servers())
	}
}

// A file that can't be read in whole is not written back in part.
func TestNginxRefusesAHugeFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "upstream.conf")
	text := "server app1:80;\nserver app2:80;\n" + strings.Repeat("# somebody's\n", nginxLimit/10)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newSet(t, deployment(inventory.Balancer{Name: "lb", Kind: inventory.BalancerNginx, File: name, Reload: []string{"true"}}), Options{})
	if err := s.Drain(t.Context(), "app1"); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error = %v", err)
	}
	if now, err := os.ReadFile(name); err != nil || string(now) != text {
		t.Errorf("the file was changed, %v", err)
	}
}

func FuzzUpstreamFile(f *testing.F) {
	f.Add(upstreamText, "app")
	f.Add("server a down; # x\nserver a down down;\n  server b;server c;", "")
	f.Add("upstream x {\nserver a;}", "x")
	f.Fuzz(func(t *testing.T, text, upstream string) {
		file := parseUpstream(text, upstream)
		if strings.Contains(text, drainMark) {
			return
		}
		for _, s := range file.servers() {
			if s.State != StateReady {
				continue
			}
			drained := file.with(s.Name, StateDrain)
			again := parseUpstream(drained, upstream)
			for _, d := range again.servers() {
				if d.Name == s.Name && d.State != StateDrain {
					t.Fatalf("%q is %s after draining: %q", s.Name, d.State, drained)
				}
			}
		}
		_ = file.with("nobody", StateReady)
	})
}

func TestTestCommand(t *testing.T) {
	for _, tc := range []struct{ reload, want string }{
		{"nginx -s reload", "nginx -t"},
		{"/usr/sbin/nginx -c /etc/n.conf -s reload", "/usr/sbin/nginx -c /etc/n.conf -t"},
		{"sudo -n nginx -s reload -p /x", "sudo -n nginx -p /x -t"},
		{"systemctl reload nginx", "nginx -t"},
		{"docker exec nginx nginx -s reload", "docker exec nginx nginx -t"},
		{"service nginx reload", "nginx -t"},
	} {
		if got := strings.Join(testCommand(strings.Fields(tc.reload)), " "); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.reload, got, tc.want)
		}
	}
}

func TestRuntimeReplies(t *testing.T) {
	for _, reply := range []string{"", "Can't find backend.\n", "1\n# srv_name\napp1\n", "1\napp1 2 0\n", "2\n# srv_name\n",
		"1\n# srv_name srv_op_state srv_admin_state\napp1 x 0\n"} {
		if servers, err := parseServersState(reply); err == nil {
			t.Errorf("%q was read as %+v", reply, servers)
		}
	}
	for _, reply := range []string{"", "Permission denied\n", "# pxname,svname\napp,app1\n", "# pxname,svname,status,scur\napp,app1,UP,x\n"} {
		if stats, err := parseStat(reply, "app"); err == nil {
			t.Errorf("%q was read as %+v", reply, stats)
		}
	}
	servers, err := parseServersState("1\n# srv_name srv_op_state srv_admin_state\na 2 0\nb 0 8\nc 2 4\nd 2 9\ne 3 64\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Server{{Name: "a", State: StateReady, Up: true}, {Name: "b", State: StateDrain}, {Name: "c", State: StateMaint, Up: true},
		{Name: "d", State: StateMaint, Up: true}, {Name: "e", State: StateMaint}}
	if diff := cmp.Diff(want, servers); diff != "" {
		t.Error(diff)
	}
}

func FuzzRuntimeReplies(f *testing.F) {
	f.Add("1\n# srv_name srv_op_state srv_admin_state\na 2 0\n")
	f.Add("# pxname,svname,status,scur\napp,app1,UP,1\n")
	f.Fuzz(func(_ *testing.T, reply string) {
		_, _ = parseServersState(reply)
		_, _ = parseStat(reply, "app")
	})
}

func TestNginxWorkers(t *testing.T) {
	before := parseWorkers(" 10 9 nginx: worker process\n 11 9 nginx: worker process\n  20 19 nginx: worker process\n  9 1 nginx: master process nginx\n  5 1 sh -c nginx: worker process\n")
	want := map[string]worker{"10": {master: "9"}, "11": {master: "9"}, "20": {master: "19"}}
	if diff := cmp.Diff(want, before, cmp.AllowUnexported(worker{})); diff != "" {
		t.Fatal(diff)
	}
	for _, tc := range []struct {
		name, ps string
		want     bool
	}{
		{"signal not arrived", "10 9 nginx: worker process\n11 9 nginx: worker process\n20 19 nginx: worker process\n", false},
		{"one is leaving, one has not noticed", "10 9 nginx: worker process is shutting down\n11 9 nginx: worker process\n20 19 nginx: worker process\n", false},
		{"one left", "11 9 nginx: worker process is shutting down\n12 9 nginx: worker process\n20 19 nginx: worker process\n", false},
		{"both left, the other nginx stays", "12 9 nginx: worker process\n20 19 nginx: worker process\n", true},
		{"all left", "12 9 nginx: worker process\n", true},
	} {
		if got := allLeft(before, parseWorkers(tc.ps)); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
	if !allLeft(nil, before) {
		t.Error("where no worker was seen there is nothing to wait for")
	}
}
