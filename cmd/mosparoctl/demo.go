package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/internal/lab"
	"github.com/mosparoctl/mosparoctl/ops"
)

type demoOptions struct {
	dir  string
	hold bool
}

func (o *demoOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.dir, "dir", "", "use this `folder`, which must be empty or not exist, and keep it (default: a temporary one, removed at the end)")
	cmd.Flags().BoolVar(&o.hold, "hold", false, "keep nodes and balancer up afterwards until Ctrl-C, for commands in a second terminal")
}

func newDemo(a *app) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job on a deployment on this machine",
		Long: `Builds a deployment of three nodes on this machine, with nothing installed and without root: SSH servers, web servers, a
balancer and a cache in one process, on loopback. Then it runs the commands an operator would type, one after the other:
deploy, sync, env push, cron plan, check, a second release and a rollback.

The nodes run mosparo's protection core in Go (as "mosparoctl serve" does) behind a small stand-in for PHP that serves the
deployed release. Everything else is what runs on real machines.`,
		Example: `  mosparoctl demo
  mosparoctl demo --dir /tmp/demo --hold   # then: mosparoctl -i /tmp/demo/mosparo.yaml check`,
		Annotations: exits(),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), a, o) },
	}
	o.addFlags(cmd)
	return cmd
}

// newLabConsole is what the nodes of the demo run in place of PHP.
func newLabConsole(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "lab-console", Hidden: true, DisableFlagParsing: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(_ *cobra.Command, args []string) error {
			if status := lab.Console(args, a.stdout, a.stderr); status != 0 {
				return ops.Errorf(ops.CodeFailed, "exit status %d", status)
			}
			return nil
		},
	}
}

// Versions of the two releases of the demo.
const (
	demoFirst  = "1.5.3"
	demoSecond = "1.5.4"
)

// demo is a running demonstration.
type demo struct {
	app  *app
	dir  string
	self string
	lab  *lab.Lab
}

func runDemo(ctx context.Context, a *app, o demoOptions) (err error) {
	d := &demo{app: a}
	if d.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	remove, err := d.folder(o.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	d.say("Building a deployment of three nodes, a balancer and a cache in %s", d.dir)
	if d.lab, err = lab.Start(ctx, lab.Options{Dir: d.dir, Console: d.self}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.lab.Close()) }()
	for _, v := range []string{demoFirst, demoSecond} {
		if err := lab.WriteSource(d.source(v), v); err != nil {
			return fmt.Errorf("write release %s: %w", v, err)
		}
	}
	if err := d.run(ctx); err != nil {
		return err
	}
	if !o.hold {
		d.say("Done. The same commands work on your own machines: mosparoctl init")
		return nil
	}
	d.say("The deployment stays up at %s until Ctrl-C. In a second terminal:\n  %s --inventory %s check", d.lab.URL, d.self, d.lab.Inventory)
	d.keepVisiting(ctx)
	return nil
}

// folder makes the folder of the demo, and returns how to remove it.
func (d *demo) folder(name string) (remove func() error, err error) {
	if name == "" {
		if d.dir, err = os.MkdirTemp("", "mosparoctl-demo-"); err != nil {
			return nil, err
		}
		return func() error { return os.RemoveAll(d.dir) }, nil
	}
	if d.dir, err = filepath.Abs(name); err != nil {
		return nil, err
	}
	if entries, err := os.ReadDir(d.dir); err == nil && len(entries) > 0 {
		return nil, ops.Errorf(ops.CodeUsage, "the folder %s is not empty", d.dir).WithHint("mosparoctl demo --dir with a new folder")
	}
	return func() error { return nil }, os.MkdirAll(d.dir, 0o755)
}

func (d *demo) source(version string) string { return filepath.Join(d.dir, "mosparo-"+version) }

// run is the demonstration itself.
func (d *demo) run(ctx context.Context) error {
	edited := filepath.Join(d.lab.Nodes[0].Root, "shared", "public", "resources", "design.css")
	steps := []struct {
		say  string
		do   func() error
		args []string
	}{
		{say: "Deploy a first release: each node is drained at the balancer, switched, checked, and put back.",
			args: []string{"deploy", d.source(demoFirst), "--yes"}},
		{do: d.visit},
		{do: func() error { return d.visitors(ctx) }},
		{say: "The same deploy again finds nothing to do.", args: []string{"deploy", d.source(demoFirst), "--yes"}},
		{say: "An administrator saves a design on the admin node. The others don't have it yet; sync brings it to them.",
			do:   func() error { return os.WriteFile(edited, []byte(".mosparo { color: rebeccapurple }\n"), 0o644) },
			args: []string{"sync"}},
		{say: "Write the settings of the inventory to the .env.local of every node.", args: []string{"env", "push"}},
		{say: "Spread the scheduled jobs so that no two nodes start the same job at once.", args: []string{"cron", "plan"}},
		{say: "Check everything that goes wrong in silence.", args: []string{"check"}},
		{say: "Deploy a second release: unchanged files are linked from the first, only the rest is sent.",
			args: []string{"deploy", d.source(demoSecond), "--yes"}},
		{do: d.visit},
		{say: "Something is wrong with it: back to the release before.", args: []string{"rollback", "--yes"}},
		{do: d.visit},
		{args: []string{"releases"}},
	}
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.say != "" {
			d.say("%s", s.say)
		}
		if s.do != nil {
			if err := s.do(); err != nil {
				return err
			}
		}
		if s.args != nil {
			if err := d.command(ctx, s.args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// command runs this program as a user would, in a process of its own, and shows what would be typed.
func (d *demo) command(ctx context.Context, args ...string) error {
	shown := strings.ReplaceAll(strings.Join(args, " "), d.dir+"/", "")
	d.say("$ mosparoctl %s", shown)
	global := []string{"--inventory", d.lab.Inventory}
	if d.app.flags.noColor {
		global = append(global, "--no-color")
	}
	cmd := exec.CommandContext(ctx, d.self, append(global, args...)...)
	// Ctrl-C reaches the whole process group: the command ends in its own way, and is killed only if it doesn't.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+filepath.Join(d.dir, "state"))
	cmd.Stdout, cmd.Stderr = d.app.stdout, d.app.stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("mosparoctl %s: %w", shown, err)
	}
	return nil
}

// visit shows which node answers visitors with which version.
func (d *demo) visit() error {
	d.say("What visitors get through the balancer:")
	client := http.Client{Timeout: 10 * time.Second}
	for range d.lab.Nodes {
		res, err := client.Get(d.lab.URL)
		if err != nil {
			return fmt.Errorf("visit the balancer: %w", err)
		}
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("visit the balancer: %s: %s %w", res.Status, body, err)
		}
		fmt.Fprintf(d.app.stdout, "  %s", body)
	}
	return nil
}

// visitors sends two forms through the balancer: each step of one may meet another node.
func (d *demo) visitors(ctx context.Context) error {
	d.say("Two visitors send a form through the balancer; the nodes share database, keys and cache:")
	for _, v := range []struct {
		message string
		want    bool
	}{{"Good morning, do you have a free table?", true}, {"Best online " + lab.SpamWord, false}} {
		got, err := d.lab.Visit(ctx, v.message)
		if err != nil {
			return fmt.Errorf("send a form: %w", err)
		}
		if got.Accepted != v.want {
			return fmt.Errorf("the form %q was accepted: %t, which is wrong", v.message, got.Accepted)
		}
		fmt.Fprintf(d.app.stdout, "  %-9s %q (steps on %s)\n", map[bool]string{true: "accepted", false: "refused"}[got.Accepted], v.message, strings.Join(got.Nodes, ", "))
	}
	return nil
}

// keepVisiting sends forms until ctx ends, now more, now fewer, every third of them spam, so that there is something to watch. What becomes
// of them is for the nodes to say: a deploy may be under way.
func (d *demo) keepVisiting(ctx context.Context) {
	const (
		wave   = time.Minute // from one rush to the next
		pause  = 400 * time.Millisecond
		spread = 300 * time.Millisecond
	)
	messages := []string{"Good morning, do you have a free table?", "When do you open on Sunday?", "Best online " + lab.SpamWord}
	began := time.Now()
	for i := 0; ; i++ {
		rush := math.Sin(2 * math.Pi * float64(time.Since(began)) / float64(wave))
		next := time.NewTimer(pause - time.Duration(rush*float64(spread)))
		select {
		case <-ctx.Done():
			next.Stop()
			return
		case <-next.C:
			_, _ = d.lab.Visit(ctx, messages[i%len(messages)])
		}
	}
}

func (d *demo) say(format string, args ...any) {
	d.app.printer.Emit(ops.Event{Kind: ops.Summary, Op: "demo", Message: "\n" + fmt.Sprintf(format, args...)})
}
