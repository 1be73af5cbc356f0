package balancer

import (
	"context"
	"errors"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// command drains with the operator's own commands, which return when the work is done. Its state can't be asked.
type command struct {
	drainArgv, readyArgv []string
	order                []string
	host                 hostFunc
}

// nodeWord stands for the server's name in the operator's commands.
const nodeWord = "{node}"

func newCommand(b inventory.Balancer, nodes []*inventory.Node, host hostFunc) (driver, error) {
	if len(b.Drain) == 0 || len(b.Ready) == 0 {
		return nil, errors.New("drain and ready are needed: the two commands, as lists, with {node} for the server's name")
	}
	c := &command{drainArgv: b.Drain, readyArgv: b.Ready, host: host}
	for _, n := range nodes {
		c.order = append(c.order, serverName(n, b.Name))
	}
	return c, nil
}

func (c *command) servers(context.Context) ([]Server, error) {
	list := make([]Server, len(c.order))
	for i, name := range c.order {
		list[i] = Server{Name: name, State: StateUnknown, Sessions: -1, Detail: "commands can't be asked"}
	}
	return list, nil
}

func (c *command) set(ctx context.Context, server string, s State) error {
	argv := c.readyArgv
	if s == StateDrain {
		argv = c.drainArgv
	}
	host, err := c.host(ctx)
	if err != nil {
		return err
	}
	words := make([]string, len(argv))
	for i, w := range argv {
		words[i] = strings.ReplaceAll(w, nodeWord, server)
	}
	_, err = host.Run(ctx, ops.Command{Argv: words})
	return err
}

// drained is true at once: the command has done the waiting.
func (c *command) drained(context.Context, string) (bool, error) { return true, nil }
