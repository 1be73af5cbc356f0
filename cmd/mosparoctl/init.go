package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// initOptions are the answers that are given as flags; what is empty is asked for on a terminal.
type initOptions struct {
	name, user, root, owner, reload string
	nodes                           []string // NAME or NAME=ADDRESS
	cache, cacheURL                 string
	database, dbHost, balancer      string
	become, force                   bool
}

func newInit(a *app) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a first inventory",
		Long: `init writes a commented inventory to FILE, or to ./mosparo.yaml; "-" prints it. On a terminal it asks for what the flags
don't say. Elsewhere what is not said becomes an example to be edited.`,
		Example: `  mosparoctl init
  mosparoctl init --name shop --node app1=10.0.0.11 --node app2=10.0.0.12 --user deploy --cache redis`,
		Annotations: exits(ops.CodeInvalid, ops.CodeConfirm),
		Args:        cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file := inventory.FileName
			if a.flags.inventory != "" {
				file = a.flags.inventory
			}
			if len(args) > 0 {
				file = args[0]
			}
			return runInit(a, file, o)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *initOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "`name` of the deployment")
	f.StringArrayVar(&o.nodes, "node", nil, "a `node`, NAME or NAME=ADDRESS; the first is the admin node (repeat)")
	f.StringVar(&o.user, "user", "", "login `user` on the nodes")
	f.BoolVar(&o.become, "become", false, "the login user needs sudo")
	f.StringVar(&o.root, "root", "", "`folder` of the installation on the nodes")
	f.StringVar(&o.owner, "owner", "", "`user` who owns mosparo's files")
	f.StringVar(&o.reload, "php-reload", "", "`command` that reloads PHP-FPM")
	f.StringVar(&o.cache, "cache", "", "shared cache: redis or memcached `adapter`")
	f.StringVar(&o.cacheURL, "cache-url", "", "its `URL`, better a reference such as env:REDIS_URL")
	f.StringVar(&o.database, "database", "", "database `system`: mysql, postgres or sqlite")
	f.StringVar(&o.dbHost, "db-host", "", "database `host`, as the nodes see it")
	f.StringVar(&o.balancer, "balancer", "", "`kind` of load balancer: haproxy, nginx, health-file or command")
	f.BoolVar(&o.force, "force", false, "replace a file that is there")
}

// starter turns options into what inventory makes a file of.
func (o initOptions) starter() inventory.StarterOptions {
	s := inventory.StarterOptions{Name: o.name, User: o.user, Become: o.become, Root: o.root, Owner: o.owner, Reload: o.reload,
		Cache: inventory.CacheAdapter(o.cache), CacheURL: o.cacheURL, DBSystem: o.database, DBHost: o.dbHost, Balancer: inventory.BalancerKind(o.balancer)}
	for _, n := range o.nodes {
		name, address, _ := strings.Cut(n, "=")
		s.Nodes = append(s.Nodes, inventory.StarterNode{Name: name, Address: address})
	}
	return s
}

// check makes the file and reads it again.
func (o initOptions) check(file string) ([]byte, *inventory.Deployment, error) {
	data := inventory.Starter(o.starter())
	d, err := inventory.Parse(file, data)
	return data, d, err
}

func runInit(a *app, file string, o initOptions) error {
	if _, err := os.Lstat(file); err == nil && file != "-" && !o.force {
		return ops.Errorf(ops.CodeConfirm, "%s is there already", file).WithHint("mosparoctl init --force, or another file")
	}
	data, d, err := o.check(file)
	if err != nil {
		return flagError(err) // before asking: a question whose answer can't make it right would come back for ever
	}
	if a.interactive() {
		if err := o.ask(a); err != nil {
			return err
		}
		if data, d, err = o.check(file); err != nil {
			return err
		}
	}
	if file == "-" {
		a.printer.Result("inventory", importView{YAML: string(data), Notes: []string{}}, func(w io.Writer) { _, _ = w.Write(data) })
		return nil
	}
	if err := writeInventory(file, data, o.force); err != nil {
		return err
	}
	for _, w := range d.Warnings {
		a.printer.Emit(ops.Event{Kind: ops.Warning, Message: w.Message, Hint: w.Instead})
	}
	a.printer.Emit(ops.Event{Kind: ops.Summary, Message: fmt.Sprintf("wrote %s with %s; edit it, then: mosparoctl inventory validate", file, count(len(d.Nodes), "node"))})
	return nil
}

// flagError tells which flags can't be: the lines of a file that was never written would lead nowhere.
func flagError(err error) error {
	problems, ok := errors.AsType[inventory.Problems](err)
	if !ok {
		return err
	}
	var list []string
	for _, p := range problems {
		p.File, p.Line, p.Column = "", 0, 0
		list = append(list, strings.TrimLeft(p.String(), ": "))
	}
	return ops.Errorf(ops.CodeInvalid, "nothing was written, since the inventory would have problems:\n%s", strings.Join(list, "\n")).
		WithHint("give other values: mosparoctl init --help")
}

// writeInventory writes a whole file or none, readable by its owner only, since it may come to hold secrets. It replaces a
// file that is there only if it may.
func writeInventory(file string, data []byte, replace bool) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	put := os.Link // fails where a file is
	if replace {
		put = os.Rename
	}
	if err := put(f.Name(), file); errors.Is(err, fs.ErrExist) {
		return ops.Errorf(ops.CodeConfirm, "%s is there already", file).WithHint("remove it, or write to another file")
	} else if err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	return nil
}

// question is one that init asks: set stores the answer for a trial.
type question struct {
	text, example string
	given         bool
	set           func(o *initOptions, answer string)
}

// ask asks for what no flag says. A wrong answer is explained and asked for again.
func (o *initOptions) ask(a *app) error {
	questions := []question{
		{"Name of the deployment", "mosparo", o.name != "", func(o *initOptions, s string) { o.name = s }},
		{"Nodes, NAME=ADDRESS separated by spaces; the first is the admin node", "app1=app1.example.com app2=app2.example.com", len(o.nodes) > 0,
			func(o *initOptions, s string) { o.nodes = strings.Fields(s) }},
		{"Login user", "deploy", o.user != "", func(o *initOptions, s string) { o.user = s }},
		{"Does it need sudo, yes or no", "no", o.become, func(o *initOptions, s string) { o.become = strings.HasPrefix(strings.ToLower(s), "y") }},
		{"Folder of the installation", "/srv/mosparo", o.root != "", func(o *initOptions, s string) { o.root = s }},
		{"User who owns mosparo's files", "www-data", o.owner != "", func(o *initOptions, s string) { o.owner = s }},
		{"Command that reloads PHP-FPM", "systemctl reload php-fpm", o.reload != "", func(o *initOptions, s string) { o.reload = s }},
		{"Shared cache: redis, memcached, or filesystem for one node", "redis", o.cache != "", func(o *initOptions, s string) { o.cache = s }},
		{"Database: mysql, postgres or sqlite", "mysql", o.database != "", func(o *initOptions, s string) { o.database = s }},
		{"Load balancer: haproxy, nginx, health-file, command or none", "none", o.balancer != "", func(o *initOptions, s string) { o.balancer = strings.TrimSuffix(s, "none") }},
	}
	for _, q := range questions {
		for !q.given {
			answer, err := a.ask(fmt.Sprintf("%s [%s]: ", q.text, q.example), "")
			if err != nil {
				return err
			}
			if answer == "" {
				answer = q.example
			}
			trial := *o
			q.set(&trial, answer)
			if _, _, err := trial.check(inventory.FileName); err == nil {
				*o, q.given = trial, true
			} else if problems, ok := errors.AsType[inventory.Problems](err); ok {
				fmt.Fprintf(a.stderr, "  %s; %s\n", problems[0].Message, problems[0].Instead)
			}
		}
	}
	return nil
}
