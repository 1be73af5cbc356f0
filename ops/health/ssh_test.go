package health

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/remote"
)

// Over OpenSSH: files, commands, and connections to cache, web server and balancer all start at the node.
func TestRealSSH(t *testing.T) {
	sshd := server.StartSSHD(t)
	host, portText, _ := net.SplitHostPort(sshd.Addr)
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	r.d.Check.Disabled = []string{"php", "cron"} // they would be this machine's own
	for _, m := range r.machines {
		m.node.Address = host
		m.node.SSH = inventory.SSH{User: sshd.User, Port: port, Identity: sshd.Key, KnownHosts: sshd.KnownHosts, Config: "none", Timeout: 10 * time.Second}
		m.node.HTTP.URL = "http://" + m.dials["127.0.0.1:80"]
		m.edit(".env.local", "cache.internal:6379", r.redis.Addr())
	}
	r.d.Balancers[0].Socket = r.machines[0].dials["lb.internal:9000"]
	pool := remote.NewPool(r.d, remote.Options{})
	defer pool.Close()
	check := func() Report {
		report, err := Run(t.Context(), Env{Deployment: r.d, Hosts: pool}, Filter{})
		if err != nil {
			t.Fatal(err)
		}
		noSecrets(t, report)
		return report
	}
	for _, res := range check().Results {
		if res.Verdict != OK {
			t.Errorf("%s is %s: %+v", res.Name, res.Verdict, res.Evidence)
		}
	}
	r.machines[1].edit("config/env.mosparo.php", "0011", "0012")
	if e, _ := result(t, check(), "files-keys").On("app1"); e.Verdict != Fail {
		t.Errorf("got %+v", e)
	}
	// A node that is not there any more: the others are checked all the same.
	r.machines[2].node.SSH.Port = 1
	again := remote.NewPool(r.d, remote.Options{})
	defer again.Close()
	pool = again
	report := check()
	if gone := report.Unreachable(); len(gone) != 1 || gone[0] != "app2" {
		t.Errorf("unreachable: %v", gone)
	}
	if e, _ := result(t, report, "http-health").On("app1"); e.Verdict != OK {
		t.Errorf("got %+v", e)
	}
	if e, _ := result(t, report, "http-health").On("app2"); e.Verdict != Unknown || e.Mend == "" {
		t.Errorf("got %+v", e)
	}
}
