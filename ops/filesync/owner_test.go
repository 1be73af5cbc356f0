package filesync

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

func TestResolveOwner(t *testing.T) {
	answers := map[string]string{"id -u -- www-data": "33", "id -g -- www-data": "34", "group adm": "4", "id -u": "1000"}
	node := func(answers map[string]string) runner {
		return runner{local.New("n"), func(_ context.Context, c ops.Command) (ops.Result, error) {
			key := strings.Join(c.Argv, " ")
			if c.Argv[0] == "sh" {
				key = "group " + c.Argv[len(c.Argv)-1]
			}
			if a, ok := answers[key]; ok {
				return ops.Result{Stdout: []byte(a + "\n")}, nil
			}
			return ops.Result{}, &ops.ExitError{Argv: c.Argv, Status: 1}
		}}
	}
	lost := runner{local.New("n"), func(context.Context, ops.Command) (ops.Result, error) {
		return ops.Result{}, ops.Errorf(ops.CodeUnreachable, "gone")
	}}
	none := ops.Owner{UID: AnyID, GID: AnyID}
	for name, tt := range map[string]struct {
		host  ops.Host
		owner inventory.Owner
		want  ops.Owner
		keep  bool
		code  ops.Code
	}{
		"numbers":           {lost, inventory.Owner{User: "5", Group: "6"}, ops.Owner{UID: 5, GID: 6}, false, ""},
		"names":             {node(answers), inventory.Owner{User: "www-data", Group: "adm"}, ops.Owner{UID: 33, GID: 4}, false, ""},
		"own group":         {node(answers), inventory.Owner{User: "www-data"}, ops.Owner{UID: 33, GID: 34}, false, ""},
		"unknown user":      {node(answers), inventory.Owner{User: "nobody"}, none, false, ops.CodeInvalid},
		"unknown group":     {node(answers), inventory.Owner{User: "1", Group: "none"}, none, false, ops.CodeInvalid},
		"group alone":       {node(answers), inventory.Owner{Group: "adm"}, none, false, ops.CodeInvalid},
		"nobody, as user":   {node(answers), inventory.Owner{}, none, false, ""},
		"nobody, as root":   {node(map[string]string{"id -u": "0"}), inventory.Owner{}, none, true, ""},
		"nobody, SFTP only": {node(nil), inventory.Owner{}, none, false, ""},
		"lost":              {lost, inventory.Owner{}, none, false, ops.CodeUnreachable},
		"lost with a name":  {lost, inventory.Owner{User: "www-data"}, none, false, ops.CodeUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			got, keep, err := resolveOwner(t.Context(), tt.host, &inventory.Node{Owner: tt.owner})
			if ops.CodeOf(err) != tt.code || err == nil && (got != tt.want || keep != tt.keep) {
				t.Errorf("owner %+v, keep %v, %v", got, keep, err)
			}
		})
	}
}

// strict refuses hard links, and to give files away.
type strict struct{ *local.Host }

func (strict) Link(context.Context, string, string) error {
	return errors.New("operation not permitted")
}

func (s strict) WriteFile(ctx context.Context, path string, r io.Reader, a ops.Attr) error {
	if a.Owner != nil {
		return fs.ErrPermission
	}
	return s.Host.WriteFile(ctx, path, r, a)
}

// Where files can't be linked into the trash, they are copied, and without their owner if need be.
func TestTrashWithoutLinks(t *testing.T) {
	root := sampleTree(t)
	p := NewHostPeer(strict{local.New("n")}, HostOptions{})
	m, err := p.Scan(t.Context(), root, ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := m.Get("a")
	next := e
	next.Size, next.UID, next.GID = 5, AnyID, AnyID
	err = p.Write(t.Context(), root, func(yield func(Change, error) bool) {
		yield(Change{Op: Op{Kind: OpPut, Entry: next, Old: &e}, Content: strings.NewReader("newer")}, nil)
	}, WriteOptions{Trash: filepath.Join(root, ".trash")})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "newer", ".trash/a": "a"} {
		if got, err := readSmallFile(t.Context(), local.New("n"), filepath.Join(root, name), 100); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
