//go:build mysql

package conformance

import (
	"syscall"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// TestGroupReplication has the nodes work on a group of three MySQL servers. Its primary hangs and another one takes over. Then the third
// hangs, too, which leaves that one without a majority until the third is back.
func TestGroupReplication(t *testing.T) {
	members, _ := server.StartGroup(t, 3)
	name, _ := referenceDatabase(t, members[0])
	var all []string
	for _, m := range members {
		all = append(all, m.Addr)
	}
	c := startCluster(t, members[0], name, server.Redis(t), [2][]string{all, all})
	c.alternate()
	c.startHAProxy()
	l := c.startLoad(4)
	l.awaitAccepted(40)

	hung := time.Now()
	signal(t, members[0], syscall.SIGSTOP)
	l.awaitAccepted(40)
	var windows [][2]time.Time
	windows = append(windows, [2]time.Time{hung, hung.Add(failoverWindow)})

	writer, other := members[1], members[2]
	if !writes(t, writer) {
		writer, other = other, writer
	}
	alone := time.Now()
	signal(t, other, syscall.SIGSTOP)
	l.await(5) // these fail
	signal(t, other, syscall.SIGCONT)
	back := time.Now()
	l.awaitAccepted(40)
	windows = append(windows, [2]time.Time{alone, back.Add(failoverWindow)})
	close(l.quit)
	l.wg.Wait()
	for _, err := range l.failures(windows...) {
		t.Error(err)
	}
	l.isStored(writer.DB(t, name))
	t.Logf("%d flows, %d accepted, %d failed in the windows", l.total, len(l.accepted), len(l.failed))
}

func signal(t *testing.T, m *server.MariaDB, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(m.Process.PID(), s); err != nil {
		t.Fatal(err)
	}
	if s == syscall.SIGSTOP {
		t.Cleanup(func() { _ = syscall.Kill(m.Process.PID(), syscall.SIGCONT) })
	}
}

func writes(t *testing.T, m *server.MariaDB) (yes bool) {
	t.Helper()
	if err := m.DB(t, "").QueryRowContext(t.Context(), "SELECT NOT @@global.super_read_only").Scan(&yes); err != nil {
		t.Fatal(err)
	}
	return yes
}
