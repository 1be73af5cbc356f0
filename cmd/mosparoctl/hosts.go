package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/remote"
)

func newHosts(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hosts",
		Short: "Look at the nodes' host keys, learn new ones",
		Long: `A node is talked to only if known_hosts holds its host key. Nothing learns a key in passing: "hosts trust" shows its
fingerprint and asks. A key that replaces a known one is never learnt: take the old one out first, when you know why it changed.`,
		Example: `  mosparoctl hosts list
  mosparoctl hosts trust app1`,
		Annotations: exits(),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newHostsList(a), newHostsTrust(a))
	return cmd
}

func newHostsList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show each node's host key and whether it is trusted",
		Long: `list asks the nodes for their host keys without logging in. A node behind jump hosts that aren't trusted yet is listed with
the first of those.`,
		Example: `  mosparoctl hosts list
  mosparoctl hosts list --role app --output json`,
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeFindings),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runHostsList(cmd.Context(), a) },
	}
}

func runHostsList(ctx context.Context, a *app) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	keys, errs := s.fingerprints(ctx, overSSH(s.nodes))
	t := output.Table{Header: []string{"NODE", "HOST", "STATE", "TYPE", "FINGERPRINT"}}
	untrusted := 0
	var hint string
	for _, k := range keys {
		t.Rows = append(t.Rows, []string{k.Node, k.Address, string(k.State), k.Type, k.Fingerprint})
		if k.State != remote.HostKeyKnown {
			if untrusted++; untrusted == 1 {
				hint = "mosparoctl hosts trust " + k.Node
			}
		}
	}
	a.printer.Table("hosts", t, keys)
	for _, err := range errs {
		if err != nil {
			a.printer.Emit(ops.Event{Kind: ops.Warning, Message: err.Error(), Hint: ops.HintOf(err)})
		}
	}
	if err := partialError(errs); err != nil {
		return err
	}
	if untrusted > 0 {
		return ops.Errorf(ops.CodeFindings, "%s not trusted", count(untrusted, "host key")).WithHint("%s", hint)
	}
	return nil
}

// overSSH leaves out this machine.
func overSSH(nodes []*inventory.Node) []*inventory.Node {
	return slices.DeleteFunc(slices.Clone(nodes), (*inventory.Node).Local)
}

// fingerprints asks nodes for their host keys side by side: the keys of those that answer, in order, and an error or nil for
// each node.
func (s *session) fingerprints(ctx context.Context, nodes []*inventory.Node) ([]remote.HostKey, []error) {
	all, errs := make([]remote.HostKey, len(nodes)), make([]error, len(nodes))
	sideBySide(s.deployment.Parallel, len(nodes), func(i int) {
		all[i], errs[i] = s.hosts.Fingerprint(ctx, nodes[i].Name)
	})
	keys := []remote.HostKey{}
	for i, k := range all {
		if errs[i] == nil {
			keys = append(keys, k)
		}
	}
	return keys, errs
}

func newHostsTrust(a *app) *cobra.Command {
	fingerprint := ""
	cmd := &cobra.Command{
		Use:   "trust [NODE]...",
		Short: "Learn the host keys of nodes, after showing their fingerprints",
		Long: `trust shows the host key of each node that isn't known, and of the jump hosts on the way to it, and adds it to known_hosts
when you confirm. Compare the fingerprint with what the machine itself says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), not
with another connection over the same network. Without a node, it goes through those that --nodes, --role and --group choose.

A program gives the fingerprint it knows: --fingerprint learns that key and no other. --yes believes whatever is shown.`,
		Example: `  mosparoctl hosts trust app1
  mosparoctl hosts trust app1 --fingerprint SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU`,
		Annotations:       exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeConfirm),
		ValidArgsFunction: completeNodes(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHostsTrust(cmd.Context(), a, args, fingerprint)
		},
	}
	cmd.Flags().StringVar(&fingerprint, "fingerprint", "", "learn only a key with this `fingerprint`, without asking")
	return cmd
}

func runHostsTrust(ctx context.Context, a *app, names []string, fingerprint string) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	if len(names) == 0 {
		for _, n := range overSSH(s.nodes) {
			names = append(names, n.Name)
		}
	}
	if fingerprint != "" && len(names) != 1 {
		return ops.Errorf(ops.CodeUsage, "--fingerprint is about one node, and there are %d", len(names))
	}
	errs := make([]error, len(names))
	for i, name := range names {
		errs[i] = s.trust(ctx, name, fingerprint)
		switch {
		case errs[i] == nil:
		case len(names) == 1 || ctx.Err() != nil || ops.CodeOf(errs[i]) == ops.CodeConfirm || ops.CodeOf(errs[i]) == ops.CodeUsage:
			return errs[i]
		default: // a node that is down keeps no other from being learnt
			a.printer.Emit(ops.Event{Kind: ops.Failed, Node: name, Message: "no key was learnt", Error: errs[i].Error(), Hint: ops.HintOf(errs[i])})
		}
	}
	return partialError(errs)
}

// trust learns the keys of name and of what lies before it.
func (s *session) trust(ctx context.Context, name, fingerprint string) error {
	for learnt := false; ; learnt = true {
		k, err := s.hosts.Fingerprint(ctx, name)
		if err != nil {
			return err
		}
		if k.State == remote.HostKeyKnown {
			if !learnt {
				s.app.printer.Emit(ops.Event{Kind: ops.Output, Node: name, Message: "known already: " + k.Type + " " + k.Fingerprint})
			}
			return nil
		}
		s.app.printer.Result("host key", k, func(w io.Writer) {
			fmt.Fprintf(w, "%s (%s) shows a host key of type %s\n  %s\n", k.Host, k.Address, k.Type, k.Fingerprint)
		})
		if k.State == remote.HostKeyUnknown {
			if err := s.believe(k, fingerprint); err != nil {
				return err
			}
		}
		// A changed or revoked key goes this way too: Learn refuses it and says what was expected.
		if err := s.hosts.Learn(k); err != nil {
			return ops.NodeError(name, "trust", err)
		}
		s.app.printer.Emit(ops.Event{Kind: ops.Finished, Node: name, Message: "added to " + k.File})
	}
}

// believe asks whether k is right, unless the command line says.
func (s *session) believe(k remote.HostKey, fingerprint string) error {
	if fingerprint == "" {
		return s.app.confirm("Trust it?")
	}
	if k.Fingerprint == fingerprint {
		return nil
	}
	return (&ops.Error{Code: ops.CodeUnreachable, Node: k.Node, Op: "trust",
		Err: errors.New("the fingerprint is not the given one: somebody may be between you and " + k.Host)}).
		WithHint("read it on the machine itself: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
}
