package health

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/balancer"
)

// balancerCheck asks every balancer what it makes of the nodes. It is a question to the balancers, not to the nodes.
type balancerCheck struct{ Info }

func balancerState() Check {
	return balancerCheck{Info{
		Name: "balancer-state", Family: FamilyBalancer,
		Title: "Does every balancer send visitors to every app node?",
		Why:   "A server that was drained and forgotten, or that fails the balancer's check, is capacity you think you have.",
		Mend:  "mosparoctl balancer status",
	}}
}

func (c balancerCheck) About() Info { return c.Info }

func (balancerCheck) applies(d *inventory.Deployment) bool {
	return slices.ContainsFunc(d.Balancers, func(b inventory.Balancer) bool { return b.Kind != inventory.BalancerCommand })
}

func (c balancerCheck) run(ctx context.Context, s *session) Result {
	v := &verdicts{session: s, info: c.Info}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	byNode := map[string][]balancer.Server{}
	set, err := balancer.New(s.env.Deployment, s.env.Hosts, balancer.Options{})
	var servers []balancer.Server
	if err == nil {
		servers, err = set.State(ctx)
	}
	mute := map[string]bool{} // balancers that can't be asked, by their kind
	for _, b := range s.env.Deployment.Balancers {
		mute[b.Name] = b.Kind == inventory.BalancerCommand
	}
	for _, srv := range servers {
		if !mute[srv.Balancer] {
			byNode[srv.Node] = append(byNode[srv.Node], srv)
		}
	}
	for _, n := range s.nodes {
		if !n.Has(inventory.RoleApp) {
			continue
		}
		switch list := byNode[n.Name]; {
		case len(list) > 0:
			v.judgeServers(n, list)
		case err != nil:
			v.unknown(n, "%s", cause(err))
		default:
			v.fail(n, "add the server to the balancer, or name it under nodes: backend: in the inventory", "no balancer knows it")
		}
	}
	v.allOK("all app nodes are in rotation")
	return v.result()
}

// judgeServers judges what all balancers say of one node.
func (v *verdicts) judgeServers(n *node, list []balancer.Server) {
	verdict, mend := OK, ""
	var texts []string
	known := map[string]bool{}
	for _, srv := range list {
		known[srv.Balancer] = true
		this, text, hint := OK, "ready", ""
		switch {
		case srv.State == balancer.StateUnknown:
			this, text = Unknown, "unknown: "+srv.Detail
		case srv.State != balancer.StateReady:
			this, text, hint = Warn, "out of rotation ("+string(srv.State)+")", "mosparoctl ready "+n.Name
		case !srv.Up:
			this, text, hint = Fail, "in rotation, but fails the balancer's check ("+srv.Detail+")", "mosparoctl check --family http --nodes "+n.Name
		}
		if Worse(verdict, this) != verdict {
			verdict, mend = this, hint
		}
		texts = append(texts, srv.Balancer+": "+text)
	}
	for _, b := range v.session.env.Deployment.Balancers {
		if !known[b.Name] && b.Kind != inventory.BalancerCommand {
			verdict, mend = Fail, fmt.Sprintf("write the name that %s has for it into the inventory, under nodes: %s: backend: %s:", b.Name, n.Name, b.Name)
			texts = append(texts, b.Name+": knows no such server")
		}
	}
	v.add(n, verdict, mend, strings.Join(texts, "; "))
}
