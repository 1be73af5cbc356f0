package remote

import (
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// ClientArgs are the arguments with which OpenSSH's ssh reaches a node as a Pool does: what the inventory says, on the command
// line, and the rest left to ssh_config. Host keys are checked strictly. The node's address comes last.
func ClientArgs(n *inventory.Node) []string {
	s := n.SSH
	user := s.User
	var jumps []string
	if s.Jump != "" && s.Jump != "none" {
		jumps = strings.Split(s.Jump, ",")
	}
	args := clientArgs(s, user, s.Port, jumps)
	if s.Jump == "none" {
		args = append(args, "-o", "ProxyJump=none")
	}
	return append(args, "--", n.Address)
}

// clientArgs are the options for one machine that is reached through jumps. "ssh -J" hands neither key nor known_hosts on to
// the jump hosts, so they are reached by a command of their own.
func clientArgs(s inventory.SSH, user string, port int, jumps []string) []string {
	var args []string
	home, _ := os.UserHomeDir() // without one, ~ stays as it is and ssh tells
	switch s.Config {
	case "":
	case "none":
		args = append(args, "-F", "none")
	default:
		args = append(args, "-F", expandHome(s.Config, home))
	}
	args = append(args, "-o", "StrictHostKeyChecking=yes")
	if s.KnownHosts != "" {
		// ssh splits the value at blanks unless it is quoted, and knows no quotes within.
		args = append(args, "-o", `UserKnownHostsFile="`+expandHome(s.KnownHosts, home)+`"`, "-o", "GlobalKnownHostsFile=none")
	}
	if s.Identity != "" {
		args = append(args, "-o", `IdentityFile="`+expandHome(s.Identity, home)+`"`) // -i knows no percent tokens
	}
	if user != "" {
		args = append(args, "-l", user)
	}
	if port != 0 {
		args = append(args, "-p", strconv.Itoa(port))
	}
	if len(jumps) > 0 {
		args = append(args, "-o", "ProxyCommand="+jumpCommand(s, jumps))
	}
	return args
}

// jumpCommand connects through the last of jumps, which is reached through those before it.
func jumpCommand(s inventory.SSH, jumps []string) string {
	user, host, port := splitJump(jumps[len(jumps)-1])
	words := append([]string{"ssh"}, clientArgs(s, user, port, jumps[:len(jumps)-1])...)
	for i, w := range words {
		// The outer ssh replaces percent tokens before the inner one sees them.
		words[i] = quote(strings.ReplaceAll(w, "%", "%%"))
	}
	return strings.Join(words, " ") + " -W '[%h]:%p' -- " + quote(host)
}

// splitJump reads [ssh://][user@]host[:port]. What is no port stays in the host, which ssh then refuses.
func splitJump(jump string) (user, host string, port int) {
	host = strings.TrimPrefix(strings.TrimSpace(jump), "ssh://")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		user, host = host[:i], host[i+1:]
	}
	if h, p, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.Atoi(p); err == nil {
			host, port = h, n
		}
	}
	return user, strings.Trim(host, "[]"), port
}
