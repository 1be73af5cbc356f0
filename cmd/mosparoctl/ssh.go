package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/remote"
)

func newSSH(a *app) *cobra.Command {
	show := false
	cmd := &cobra.Command{
		Use:   "ssh NODE [-- COMMAND [ARG]...]",
		Short: "Log in to a node with the ssh client",
		Long: `ssh becomes OpenSSH's ssh, with user, port, key, known_hosts and jump hosts of the inventory. The rest comes from
~/.ssh/config. Host keys are always checked: learn a new one by "mosparoctl hosts trust NODE". It logs in as the login user, also
where the inventory says become. The exit status is that of ssh.`,
		Example: `  mosparoctl ssh app1
  mosparoctl ssh app1 -- tail -f /var/log/nginx/error.log
  mosparoctl ssh app1 --print`,
		Annotations:       exits(ops.CodeInvalid),
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeNodes(a),
		RunE:              func(_ *cobra.Command, args []string) error { return runSSH(a, args[0], args[1:], show) },
	}
	cmd.Flags().BoolVar(&show, "print", false, "print the command instead of running it")
	return cmd
}

// sshView is the command in JSON.
type sshView struct {
	Argv []string `json:"argv"`
}

func runSSH(a *app, name string, command []string, show bool) error {
	d, err := a.loadInventory()
	if err != nil {
		return err
	}
	n := d.Node(name)
	switch {
	case n == nil:
		return ops.Errorf(ops.CodeUsage, "the inventory has no node %q", name).WithHint("mosparoctl inventory list")
	case n.Local():
		return ops.Errorf(ops.CodeUsage, "the node is this machine").On(name)
	}
	argv := append(append([]string{"ssh"}, remote.ClientArgs(n)...), command...)
	if show {
		a.printer.Result("ssh", sshView{Argv: argv}, func(w io.Writer) {
			words := make([]string, len(argv))
			for i, arg := range argv {
				words[i] = shellWord(arg)
			}
			fmt.Fprintln(w, strings.Join(words, " "))
		})
		return nil
	}
	path, err := exec.LookPath("ssh")
	if err != nil {
		return (&ops.Error{Code: ops.CodeFailed, Op: "start ssh", Err: err}).WithHint("install OpenSSH's client (openssh-client)")
	}
	return fmt.Errorf("start ssh: %w", syscall.Exec(path, argv, os.Environ()))
}

// shellWord quotes s for pasting into a shell.
func shellWord(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
