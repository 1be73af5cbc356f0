package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// The addresses of the network that the tests make: the host side has the first, nodes the eleventh and following.
const (
	network  = "10.213.77."
	hostAddr = network + "1"
	bridge   = "mctl-e2e"
)

// node is one machine: a network namespace and a mount namespace with folders of its own over those of the system that a
// schedule is written to.
type node struct {
	t    testing.TB
	name string
	addr string
	dir  string // everything it has
	root string // where mosparo is
	pid  int    // a process in its namespaces
	link string // the host's end of its cable
}

// deployment is all of it.
type deployment struct {
	t         testing.TB
	dir       string
	nodes     []*node
	key       string
	inventory string
	binary    string
	haproxy   string // address for visitors
	mariadb   *server.MariaDB
	database  string
	redis     string
}

// sh runs a command that must succeed.
func sh(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// startNetwork makes the bridge that the nodes are connected to.
func startNetwork(t testing.TB) {
	t.Helper()
	// The network is one on this machine: another run of these tests ends first.
	lock, err := os.OpenFile("/run/mctl-e2e.lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	_ = exec.Command("ip", "link", "del", bridge).Run() // left by a test that was killed
	sh(t, "ip", "link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", bridge).Run() })
	sh(t, "ip", "addr", "add", hostAddr+"/24", "dev", bridge)
	sh(t, "ip", "link", "set", bridge, "up")
}

// startNode makes the namespaces of node number i and starts sshd, PHP-FPM and nginx in them.
func (d *deployment) startNode(i int) *node {
	t := d.t
	n := &node{t: t, name: fmt.Sprintf("app%d", i), addr: network + strconv.Itoa(10+i)}
	n.dir = filepath.Join(d.dir, n.name)
	n.root = filepath.Join(n.dir, "mosparo")
	ns, outer := "mctl-"+n.name, "mctl-v"+strconv.Itoa(i)
	_ = exec.Command("ip", "netns", "del", ns).Run() // left by a test that was killed
	_ = exec.Command("ip", "link", "del", outer).Run()
	sh(t, "ip", "netns", "add", ns)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	sh(t, "ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", ns)
	sh(t, "ip", "link", "set", outer, "master", bridge, "up")
	sh(t, "ip", "-n", ns, "addr", "add", n.addr+"/24", "dev", "eth0")
	sh(t, "ip", "-n", ns, "link", "set", "eth0", "up")
	sh(t, "ip", "-n", ns, "link", "set", "lo", "up")
	for _, dir := range []string{"mosparo", "etc-cron.d", "crontabs", "logs", "tmp"} {
		if err := os.MkdirAll(filepath.Join(n.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sh(t, "chown", "www-data:www-data", n.root)
	sh(t, "chmod", "1777", filepath.Join(n.dir, "tmp"))
	// With SHLVL bash reads no ~/.bashrc, which differs from machine to machine.
	n.write("sshd_config", fmt.Sprintf(`ListenAddress %s:22
HostKey %s
AuthorizedKeysFile %s
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 100
Subsystem sftp internal-sftp
PrintMotd no
SetEnv SHLVL=1
`, n.addr, filepath.Join(d.dir, "host_key"), filepath.Join(d.dir, "id_ed25519.pub")))
	n.write("fpm.conf", fmt.Sprintf(`[global]
error_log = %[1]s/logs/php-fpm.log
pid = %[1]s/fpm.pid
daemonize = no
[www]
user = www-data
group = www-data
listen = %[1]s/fpm.sock
listen.owner = www-data
pm = static
pm.max_children = 2
clear_env = no
`, n.dir))
	n.write("nginx.conf", fmt.Sprintf(`daemon off;
user www-data;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/logs/nginx.log;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path %[1]s/tmp; proxy_temp_path %[1]s/tmp; fastcgi_temp_path %[1]s/tmp; uwsgi_temp_path %[1]s/tmp; scgi_temp_path %[1]s/tmp;
  server {
    listen %[2]s:80;
    listen 127.0.0.1:80;
    root %[1]s/mosparo/current/public;
    location / { try_files $uri /index.php$is_args$args; }
    location ~ \.php$ {
      fastcgi_pass unix:%[1]s/fpm.sock;
      fastcgi_param SCRIPT_FILENAME $realpath_root/index.php;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param REQUEST_URI $request_uri;
    }
  }
}
`, n.dir, n.addr))
	// The system's folders for schedules are covered by the node's own, so that nodes don't write into each other's.
	n.write("start", fmt.Sprintf(`set -e
mount --make-rprivate /
mount -t proc proc /proc
mount --bind %[1]s/etc-cron.d /etc/cron.d
chown root:crontab %[1]s/crontabs && chmod 1730 %[1]s/crontabs
mount --bind %[1]s/crontabs /var/spool/cron/crontabs
mkdir -p /run/sshd
%[2]s -F -y %[1]s/fpm.conf &
%[3]s -c %[1]s/nginx.conf &
exec %[4]s -D -e -f %[1]s/sshd_config
`, n.dir, server.Binary(t, "php-fpm8.2", "php-fpm"), server.Binary(t, "nginx"), server.Binary(t, "sshd")))
	// The process namespace ends all of a node at once.
	p := server.Start(t, "ip", "netns", "exec", ns, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", filepath.Join(n.dir, "start"))
	p.WaitFor(n.name, server.Answers("tcp", n.addr+":22"))
	p.WaitFor(n.name, server.Answers("tcp", n.addr+":80"))
	n.pid, n.link = p.PID(), outer
	return n
}

func (n *node) write(name, content string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(content), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// in runs a command in the node's namespaces.
func (n *node) in(argv ...string) string {
	n.t.Helper()
	return sh(n.t, append([]string{"nsenter", "-t", strconv.Itoa(n.pid), "-m", "-n", "--"}, argv...)...)
}

// start builds the program and a deployment of count nodes.
func start(t testing.TB, count int) *deployment {
	t.Helper()
	server.NeedRoot(t, "network namespaces")
	for _, program := range []string{"ip", "unshare", "nsenter", "sshd", "nginx", "php", "haproxy", "crontab"} {
		server.Binary(t, program)
	}
	dir, err := os.MkdirTemp("", "mctl-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // www-data must get in
		t.Fatal(err)
	}
	d := &deployment{t: t, dir: dir, binary: filepath.Join(dir, "mosparoctl"), inventory: filepath.Join(dir, "mosparo.yaml")}
	sh(t, "go", "build", "-o", d.binary, "github.com/mosparoctl/mosparoctl/cmd/mosparoctl")
	startNetwork(t)
	d.key = filepath.Join(dir, "id_ed25519")
	for _, key := range []string{d.key, filepath.Join(dir, "host_key")} {
		sh(t, server.Binary(t, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key)
	}
	hostKey, err := os.ReadFile(filepath.Join(dir, "host_key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	var known bytes.Buffer
	for i := range count {
		n := d.startNode(i + 1)
		d.nodes = append(d.nodes, n)
		fmt.Fprintf(&known, "%s %s", n.addr, hostKey)
	}
	if err := os.WriteFile(filepath.Join(dir, "known_hosts"), known.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	d.mariadb = server.StartMariaDB(t, "--bind-address=0.0.0.0")
	d.database = d.mariadb.Database(t)
	_, port, _ := net.SplitHostPort(server.FreeAddress(t))
	server.Start(t, server.Binary(t, "redis-server"), "--port", port, "--bind", hostAddr, "--protected-mode", "no", "--save", "").
		WaitFor("redis", server.Answers("tcp", net.JoinHostPort(hostAddr, port)))
	d.redis = net.JoinHostPort(hostAddr, port)
	d.startHAProxy()
	return d
}

func (d *deployment) startHAProxy() {
	var servers strings.Builder
	for _, n := range d.nodes {
		fmt.Fprintf(&servers, "  server %s %s:80\n", n.name, n.addr)
	}
	d.haproxy = server.FreeAddress(d.t)
	config := filepath.Join(d.dir, "haproxy.cfg")
	content := fmt.Sprintf(`global
  stats socket %s/haproxy.sock mode 600 level admin
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen mosparo
  bind %s
%s`, d.dir, d.haproxy, servers.String())
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
	server.Start(d.t, server.Binary(d.t, "haproxy"), "-db", "-f", config).WaitFor("haproxy", server.Answers("tcp", d.haproxy))
}

// result is what a run of the program left.
type result struct {
	status         int
	stdout, stderr string
}

// run runs the program on the deployment's inventory.
func (d *deployment) run(args ...string) result {
	d.t.Helper()
	return d.runIn(d.t.Context(), args...)
}

func (d *deployment) runIn(ctx context.Context, args ...string) result {
	d.t.Helper()
	cmd := exec.CommandContext(ctx, d.binary, append([]string{"--inventory", d.inventory, "--log-file", filepath.Join(d.dir, "log.jsonl")}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+filepath.Join(d.dir, "state"), "NO_COLOR=1", "E2E_DB_PASSWORD="+d.mariadb.Pass)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		d.t.Fatalf("%v: %v", args, err)
	}
	r := result{status: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	if strings.Contains(r.stdout+r.stderr, canary) {
		d.t.Errorf("%v shows the canary secret", args)
	}
	return r
}

// must runs the program and wants status 0. It returns what it printed on stdout.
func (d *deployment) must(args ...string) string {
	d.t.Helper()
	r := d.run(args...)
	if r.status != 0 {
		d.t.Fatalf("mosparoctl %s: exit status %d\n%s%s", strings.Join(args, " "), r.status, r.stdout, r.stderr)
	}
	return r.stdout
}
