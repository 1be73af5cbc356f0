package remotetest

import (
	"errors"
	"io"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// session serves one session channel: a command or the SFTP subsystem.
func (s *Server) session(nc ssh.NewChannel) {
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	var running sync.WaitGroup
	defer running.Wait()
	process := &process{}
	defer process.signal("KILL")
	started := false
	for r := range requests {
		var payload struct{ Value string }
		_ = ssh.Unmarshal(r.Payload, &payload) // a request without a string leaves it empty
		ok := false
		switch {
		case r.Type == "exec" && !started && !s.Faults.refusesExec():
			started, ok = true, true
			reply(r, ok)
			running.Go(func() { s.exec(ch, payload.Value, process); ch.Close() })
			continue
		case r.Type == "subsystem" && payload.Value == "sftp" && !started && !s.Faults.refusesSFTP():
			started, ok = true, true
			reply(r, ok)
			running.Go(func() { s.sftp(ch); ch.Close() })
			continue
		case r.Type == "signal":
			process.signal(payload.Value)
			ok = true
		}
		reply(r, ok)
	}
}

func reply(r *ssh.Request, ok bool) {
	if r.WantReply {
		_ = r.Reply(ok, nil) // an error means that the connection is gone, which its reader sees
	}
}

// process is a running command that signals can reach.
type process struct {
	mu  sync.Mutex
	pid int // 0 before and after it runs
}

func (p *process) set(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = pid
}

func (p *process) signal(name string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP}
	p.mu.Lock()
	defer p.mu.Unlock()
	if sig, ok := signals[name]; ok && p.pid != 0 {
		_ = syscall.Kill(-p.pid, sig) // it may have ended by itself
	}
}

// exec runs line in a shell and reports its end.
func (s *Server) exec(ch ssh.Channel, line string, p *process) {
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Dir, cmd.Env = s.config.Dir, s.config.Env
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A pipe of our own, so that the end of the command isn't held up by a client that sends no end of input.
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_, _ = io.WriteString(ch.Stderr(), err.Error())
		exitStatus(ch, 126)
		return
	}
	p.set(cmd.Process.Pid)
	go func() {
		_, _ = io.Copy(in, ch) // ends when either side is closed
		in.Close()
	}()
	err = cmd.Wait()
	p.set(0)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			exitSignal(ch, ws.Signal())
			return
		}
		exitStatus(ch, uint32(exit.ExitCode()))
		return
	}
	exitStatus(ch, 0)
}

func exitStatus(ch ssh.Channel, status uint32) {
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
}

func exitSignal(ch ssh.Channel, sig syscall.Signal) {
	names := map[syscall.Signal]string{syscall.SIGTERM: "TERM", syscall.SIGKILL: "KILL", syscall.SIGINT: "INT", syscall.SIGHUP: "HUP"}
	_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
		Signal  string
		Core    bool
		Message string
		Lang    string
	}{Signal: names[sig]}))
}

// sftp serves files, through the filter that injects faults.
func (s *Server) sftp(ch ssh.Channel) {
	f := newSFTPFilter(ch, s.Faults)
	defer f.Close()
	server, err := sftp.NewServer(f)
	if err != nil {
		return
	}
	if server.Serve() == nil {
		exitStatus(ch, 0)
	}
}

// forward connects a channel with an address of this machine.
func (s *Server) forward(nc ssh.NewChannel) {
	if s.Faults.refusesForwarding() {
		_ = nc.Reject(ssh.Prohibited, "administratively prohibited")
		return
	}
	network, address := "unix", ""
	if nc.ChannelType() == "direct-tcpip" {
		var to struct {
			Host       string
			Port       uint32
			Origin     string
			OriginPort uint32
		}
		if err := ssh.Unmarshal(nc.ExtraData(), &to); err != nil {
			_ = nc.Reject(ssh.ConnectionFailed, err.Error())
			return
		}
		network, address = "tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port)))
	} else {
		var to struct {
			Path   string
			Origin string
			Port   uint32
		}
		if err := ssh.Unmarshal(nc.ExtraData(), &to); err != nil {
			_ = nc.Reject(ssh.ConnectionFailed, err.Error())
			return
		}
		address = to.Path
	}
	far, err := net.Dial(network, address)
	if err != nil {
		_ = nc.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer far.Close()
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	go ssh.DiscardRequests(requests)
	ended := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(far, ch); ended <- struct{}{} }()
	go func() { _, _ = io.Copy(ch, far); ended <- struct{}{} }()
	<-ended
}
