package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

func newInventory(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inventory",
		Short: "Look at the inventory, check it, import one",
		Long: `The inventory is the YAML file that describes a deployment. It is looked for in this order: --inventory,
$MOSPAROCTL_INVENTORY, ./mosparo.yaml, mosparoctl/mosparo.yaml in the user's config folder.`,
		Example: `  mosparoctl inventory validate
  mosparoctl inventory show app1 --explain`,
		Annotations: exits(),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newInventoryValidate(a), newInventoryList(a), newInventoryShow(a), newInventorySchema(a), newInventoryImport(a))
	return cmd
}

func newInventoryValidate(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Find everything that is wrong with an inventory",
		Long:  `validate reports every problem at once: file, line and column, what is wrong, and what to write instead.`,
		Example: `  mosparoctl inventory validate
  mosparoctl inventory validate staging.yaml --output json`,
		Annotations: exits(ops.CodeInvalid),
		Args:        cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file := a.flags.inventory
			if len(args) > 0 {
				file = args[0]
			}
			return runInventoryValidate(a, file)
		},
	}
}

// validation is what validate found, in JSON.
type validation struct {
	File     string             `json:"file"`
	Valid    bool               `json:"valid"`
	Nodes    int                `json:"nodes"`
	Problems inventory.Problems `json:"problems"`
}

func runInventoryValidate(a *app, file string) error {
	file, err := inventory.Find(file)
	if err != nil {
		return inventoryNotFound(err)
	}
	v := validation{File: file, Problems: inventory.Problems{}}
	d, err := inventory.Load(file)
	switch {
	case err == nil:
		v.Valid, v.Nodes = true, len(d.Nodes)
		v.Problems = append(v.Problems, d.Warnings...)
	case !errors.As(err, &v.Problems):
		return &ops.Error{Code: ops.CodeInvalid, Err: err, Hint: "mosparoctl init"}
	}
	fatal := v.Problems.Fatal()
	a.printer.Result("validation", v, func(w io.Writer) {
		fmt.Fprint(w, v.Problems.Render(true))
		if v.Valid {
			fmt.Fprintf(w, "%s is valid: %s, %s\n", file, count(v.Nodes, "node"), count(len(v.Problems), "warning"))
		}
	})
	if fatal > 0 {
		return ops.Errorf(ops.CodeInvalid, "%s has %s", file, count(fatal, "problem"))
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func newInventoryList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the nodes",
		Long:  `list prints the nodes that --nodes, --role and --group choose, or all.`,
		Example: `  mosparoctl inventory list
  mosparoctl inventory list --role app --output json`,
		Annotations: exits(ops.CodeInvalid),
		Args:        cobra.NoArgs,
		RunE:        func(*cobra.Command, []string) error { return runInventoryList(a) },
	}
}

// nodeView is a node in a list, in JSON.
type nodeView struct {
	Name    string           `json:"name"`
	Address string           `json:"address"`
	Roles   []inventory.Role `json:"roles"`
	Groups  []string         `json:"groups"`
	Root    string           `json:"root"`
}

func runInventoryList(a *app) error {
	d, err := a.loadInventory()
	if err != nil {
		return err
	}
	nodes, err := a.selected(d)
	if err != nil {
		return err
	}
	t := output.Table{Header: []string{"NAME", "ADDRESS", "ROLES", "GROUPS", "ROOT"}}
	var views []nodeView
	for _, n := range nodes {
		v := nodeView{Name: n.Name, Address: n.Address, Roles: n.Roles, Groups: append([]string{}, n.Groups...), Root: n.Paths.Root}
		views = append(views, v)
		var roles []string
		for _, r := range n.Roles {
			roles = append(roles, string(r))
		}
		t.Rows = append(t.Rows, []string{v.Name, v.Address, strings.Join(roles, ","), dash(strings.Join(v.Groups, ",")), v.Root})
	}
	a.printer.Table("nodes", t, views)
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newInventoryShow(a *app) *cobra.Command {
	explain := false
	cmd := &cobra.Command{
		Use:   "show [NODE]...",
		Short: "Show the resolved values of nodes, and where they come from",
		Long: `show prints what a node's settings are after defaults, groups and its own are merged. Without a node it prints those
of the deployment, then those of the nodes that --nodes, --role and --group choose. Secrets are shown as references or masked.`,
		Example: `  mosparoctl inventory show app1
  mosparoctl inventory show app1 --explain`,
		Annotations:       exits(ops.CodeInvalid),
		ValidArgsFunction: completeNodes(a),
		RunE:              func(_ *cobra.Command, args []string) error { return runInventoryShow(a, args, explain) },
	}
	cmd.Flags().BoolVar(&explain, "explain", false, "say where each value was written")
	return cmd
}

// settingsView is a node's values, or the deployment's if Node is empty, in JSON.
type settingsView struct {
	Node     string              `json:"node,omitempty"`
	Settings []inventory.Setting `json:"settings"`
}

func runInventoryShow(a *app, names []string, explain bool) error {
	d, err := a.loadInventory()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		nodes, err := a.selected(d)
		if err != nil {
			return err
		}
		names = append(names, "")
		for _, n := range nodes {
			names = append(names, n.Name)
		}
	}
	views := make([]settingsView, 0, len(names))
	for _, name := range names {
		settings, err := d.Explain(name)
		if err != nil {
			return &ops.Error{Code: ops.CodeUsage, Err: err, Hint: "mosparoctl inventory list"}
		}
		views = append(views, settingsView{Node: name, Settings: settings})
	}
	a.printer.Result("settings", views, func(w io.Writer) {
		for i, v := range views {
			if i > 0 {
				fmt.Fprintln(w)
			}
			writeSettings(w, d, v, explain)
		}
	})
	return nil
}

func writeSettings(w io.Writer, d *inventory.Deployment, v settingsView, explain bool) {
	if v.Node == "" {
		fmt.Fprintf(w, "deployment %s\n", d.Name)
	} else {
		fmt.Fprintf(w, "node %s\n", v.Node)
	}
	t := output.Table{Header: []string{"KEY", "VALUE"}}
	if explain {
		t.Header = append(t.Header, "FROM")
	}
	for _, s := range v.Settings {
		row := []string{s.Key, s.Value}
		if explain {
			row = append(row, s.From())
		}
		t.Rows = append(t.Rows, row)
	}
	t.Write(w)
}

func newInventorySchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "schema",
		Short:       "Print the JSON Schema of the inventory, for editors",
		Long:        `schema prints a JSON Schema (draft 2020-12). Editors complete and check an inventory with it.`,
		Example:     `  mosparoctl inventory schema > mosparo.schema.json`,
		Annotations: exits(),
		Args:        cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema := inventory.Schema()
			a.printer.Result("schema", rawJSON(schema), func(w io.Writer) { _, _ = w.Write(schema) })
			return nil
		},
	}
}

// rawJSON is JSON that is printed as it is.
type rawJSON []byte

// MarshalJSON gives the text itself; the encoder compacts it.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

func newInventoryImport(a *app) *cobra.Command {
	to := ""
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make an inventory from one of Ansible's",
		Long: `import reads an Ansible inventory, INI or YAML, and prints one of ours. What it assumed or left out is told as warnings.
Passwords are never taken over. FILE "-" is standard input.`,
		Example: `  mosparoctl inventory import hosts.ini
  mosparoctl inventory import hosts.yml --to mosparo.yaml`,
		Annotations: exits(ops.CodeInvalid, ops.CodeConfirm),
		Args:        cobra.ExactArgs(1),
		RunE:        func(_ *cobra.Command, args []string) error { return runInventoryImport(a, args[0], to) },
	}
	cmd.Flags().StringVar(&to, "to", "", "write to this `file`, which must not be there, instead of printing")
	return cmd
}

// importView is an imported inventory in JSON.
type importView struct {
	YAML  string   `json:"yaml"`
	Notes []string `json:"notes"`
}

// maxImport is the most that is read of a file to import; the importer refuses less than that.
const maxImport = 2 << 20

func runInventoryImport(a *app, from, to string) error {
	r := a.stdin
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return &ops.Error{Code: ops.CodeInvalid, Op: "import inventory", Err: err}
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxImport))
	if err != nil {
		return fmt.Errorf("import inventory: %w", err)
	}
	yaml, notes, err := inventory.ImportAnsible(from, data)
	if err != nil {
		return &ops.Error{Code: ops.CodeInvalid, Op: "import inventory", Err: err}
	}
	for _, n := range notes {
		a.printer.Emit(ops.Event{Kind: ops.Warning, Message: n})
	}
	if to != "" {
		if err := writeInventory(to, yaml, false); err != nil {
			return err
		}
		a.printer.Emit(ops.Event{Kind: ops.Summary, Message: "wrote " + to})
		return nil
	}
	a.printer.Result("inventory", importView{YAML: string(yaml), Notes: notes}, func(w io.Writer) { _, _ = w.Write(yaml) })
	return nil
}
