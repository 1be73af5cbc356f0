// Package remotetest is an SSH and SFTP server within this process, for tests and for the demo. It runs commands as processes
// of this machine, serves this machine's files, and can be told to fail in the ways that real nodes and lines do. It knows
// no passwords: logins are by key or certificate, so it is as safe as its keys. It listens on loopback only.
package remotetest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// Config describes a server. Only Dir is required.
type Config struct {
	// Dir is the home folder of the login, where commands start. Paths are those of this machine, and absolute.
	Dir string
	// Env is the environment of commands; nil is PATH of this process, HOME and USER.
	Env []string
	// User is the only login name; "" is "deploy".
	User string
	// HostKeys are the server's keys; nil makes one.
	HostKeys []*Key
	// HostCA signs the host keys: the server then shows certificates.
	HostCA *Key
	// UserKeys may log in; nil makes one.
	UserKeys []*Key
	// UserCA signs certificates that may log in as User.
	UserCA *Key
	// MaxSessions bounds the sessions of a connection, as in sshd; 0 is 10.
	MaxSessions int
	// Address to listen on; "" is a free port of 127.0.0.1.
	Address string
}

// Server is a running server. Its faults (see Faults) may be changed at any time. Safe for concurrent use.
type Server struct {
	Faults *Faults

	config   Config
	listener net.Listener
	running  sync.WaitGroup
	accepted atomic.Int64

	mu       sync.Mutex
	hostKeys []ssh.Signer
	conns    map[*faultConn]bool
	closed   bool
}

// Start starts a server. Close it.
func Start(c Config) (*Server, error) {
	if c.Dir == "" {
		return nil, errors.New("remotetest: no folder given")
	}
	if c.User == "" {
		c.User = "deploy"
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = 10
	}
	if c.Env == nil {
		c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "USER=" + c.User}
	}
	if c.Address == "" {
		c.Address = "127.0.0.1:0"
	}
	for _, keys := range []*[]*Key{&c.HostKeys, &c.UserKeys} {
		if *keys == nil {
			*keys = []*Key{NewKey()}
		}
	}
	s := &Server{config: c, Faults: newFaults(), conns: map[*faultConn]bool{}}
	if err := s.SetHostKeys(c.HostKeys...); err != nil {
		return nil, err
	}
	var err error
	if s.listener, err = net.Listen("tcp", c.Address); err != nil {
		return nil, fmt.Errorf("remotetest: %w", err)
	}
	s.running.Go(s.accept)
	return s, nil
}

// Close stops listening, ends all connections and the commands they run, and waits for that.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.listener.Close()
	s.Disconnect()
	s.running.Wait()
	return err
}

// Disconnect cuts all connections, as a restarted machine would.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Connections is how many connections were accepted since the start.
func (s *Server) Connections() int { return int(s.accepted.Load()) }

// Addr is the address it listens on.
func (s *Server) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// User is the login name.
func (s *Server) User() string { return s.config.User }

// Dir is the home folder.
func (s *Server) Dir() string { return s.config.Dir }

// UserKey is the first key that may log in.
func (s *Server) UserKey() *Key { return s.config.UserKeys[0] }

// SetHostKeys replaces the host keys, as a machine that was installed anew has others. Connections that exist stay.
func (s *Server) SetHostKeys(keys ...*Key) error {
	var signers []ssh.Signer
	for _, k := range keys {
		signer := k.Signer
		if ca := s.config.HostCA; ca != nil {
			var err error
			if signer, err = ca.sign(k, ssh.HostCert, "127.0.0.1", "localhost", "::1"); err != nil {
				return err
			}
		}
		signers = append(signers, signer)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hostKeys = signers
	return nil
}

// KnownHosts is what known_hosts needs to trust the server: its keys, or its certificate authority.
func (s *Server) KnownHosts() string {
	if ca := s.config.HostCA; ca != nil {
		var b bytes.Buffer
		// The writer is a buffer, which doesn't fail.
		_ = knownhosts.WriteKnownHostCA(&b, knownhosts.Normalize(s.Addr().String()), ca.Signer.PublicKey())
		return b.String()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := ""
	for _, k := range s.hostKeys {
		lines += knownhosts.Line([]string{s.Addr().String()}, k.PublicKey()) + "\n"
	}
	return lines
}

// Node writes key and known_hosts for the server into dir and makes an inventory node of it that reads no other file of the
// user. Its root is the server's folder.
func (s *Server) Node(name, dir string) (*inventory.Node, error) {
	key, known := filepath.Join(dir, name+".key"), filepath.Join(dir, name+".known_hosts")
	if err := s.UserKey().WriteFile(key); err != nil {
		return nil, err
	}
	if err := os.WriteFile(known, []byte(s.KnownHosts()), 0o600); err != nil {
		return nil, err
	}
	return &inventory.Node{
		Name: name, Address: s.Addr().IP.String(), Roles: []inventory.Role{inventory.RoleApp},
		SSH:   inventory.SSH{User: s.config.User, Port: s.Addr().Port, Identity: key, KnownHosts: known, Config: "none"},
		Paths: inventory.Paths{Root: s.config.Dir, Layout: inventory.LayoutReleases},
	}, nil
}

func (s *Server) accept() {
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.accepted.Add(1)
		c := newFaultConn(raw, s.Faults)
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			c.Close()
			return
		}
		s.conns[c] = true
		s.mu.Unlock()
		s.running.Go(func() {
			s.serve(c)
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// sshConfig is made anew for each connection, since host keys may change.
func (s *Server) sshConfig() *ssh.ServerConfig {
	checker := &ssh.CertChecker{
		IsUserAuthority: func(auth ssh.PublicKey) bool {
			ca := s.config.UserCA
			return ca != nil && bytes.Equal(ca.Signer.PublicKey().Marshal(), auth.Marshal())
		},
		UserKeyFallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			for _, k := range s.config.UserKeys {
				if bytes.Equal(k.Signer.PublicKey().Marshal(), key.Marshal()) {
					return &ssh.Permissions{}, nil
				}
			}
			return nil, errors.New("unknown key")
		},
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if meta.User() != s.config.User {
			return nil, errors.New("unknown user " + strconv.Quote(meta.User()))
		}
		return checker.Authenticate(meta, key)
	}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.hostKeys {
		config.AddHostKey(k)
	}
	return config
}

// serve handles one connection until its end.
func (s *Server) serve(c net.Conn) {
	conn, channels, requests, err := ssh.NewServerConn(c, s.sshConfig())
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	var running sync.WaitGroup
	defer running.Wait()
	var sessions atomic.Int64
	for nc := range channels {
		switch nc.ChannelType() {
		case "session":
			if int(sessions.Add(1)) > s.config.MaxSessions {
				sessions.Add(-1)
				_ = nc.Reject(ssh.ConnectionFailed, "open failed") // what sshd answers
				continue
			}
			running.Go(func() { defer sessions.Add(-1); s.session(nc) })
		case "direct-tcpip", "direct-streamlocal@openssh.com":
			running.Go(func() { s.forward(nc) })
		default:
			_ = nc.Reject(ssh.UnknownChannelType, nc.ChannelType())
		}
	}
}
