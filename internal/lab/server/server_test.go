package server_test

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

func TestServersAnswer(t *testing.T) {
	ask := func(addr, line, want string) {
		t.Helper()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, line)
		got, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || got != want {
			t.Errorf("%s answers %q, %v; want %q", addr, got, err, want)
		}
	}
	ask(server.Redis(t), "PING\r\n", "+PONG\r\n")
	ask(server.Memcached(t), "get nothing\r\n", "END\r\n")
}

func TestMariaDBSurvivesAKill(t *testing.T) {
	m := server.StartMariaDB(t)
	name := m.Database(t)
	if _, err := m.DB(t, name).Exec("CREATE TABLE a (i INT) ENGINE=InnoDB; INSERT INTO a VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	m.Process.Kill()
	m.Start(t)
	var i int
	if err := m.DB(t, name).QueryRow("SELECT i FROM a").Scan(&i); err != nil || i != 7 {
		t.Errorf("after a kill the row is %d, %v", i, err)
	}
}

func TestSSHDLetsTheUserIn(t *testing.T) {
	s := server.StartSSHD(t)
	host, port, _ := net.SplitHostPort(s.Addr)
	out, err := exec.Command(server.Binary(t, "ssh"), "-F", "none", "-o", "UserKnownHostsFile="+s.KnownHosts, "-o", "BatchMode=yes",
		"-i", s.Key, "-p", port, s.User+"@"+host, "echo in").CombinedOutput()
	if err != nil || string(out) != "in\n" {
		t.Errorf("ssh: %v\n%s", err, out)
	}
}
