package remote_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// Who owns a folder may put a link into its place while the tree around it is removed, by root perhaps.
func TestRemoveAllFollowsNoLinkThatIsPutThereMeanwhile(t *testing.T) {
	_, node := start(t, remotetest.Config{})
	h := connect(t, node)
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	for round := range 40 {
		if err := os.WriteFile(victim, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		tree := filepath.Join(t.TempDir(), "tree")
		for i := range 20 {
			if err := os.MkdirAll(filepath.Join(tree, fmt.Sprint(i), "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for i := 0; ; i = (i + 1) % 20 {
				select {
				case <-stop:
					return
				default:
				}
				sub := filepath.Join(tree, fmt.Sprint(i), "sub")
				if os.Remove(sub) == nil {
					_ = os.Symlink(outside, sub)
				}
			}
		}()
		err := h.RemoveAll(t.Context(), tree)
		close(stop)
		<-stopped
		if _, statErr := os.Stat(victim); statErr != nil {
			t.Fatalf("round %d: a file outside of the tree is gone (RemoveAll: %v)", round, err)
		}
	}
}

func TestRemoveAllWithoutCommands(t *testing.T) {
	refusing, node := start(t, remotetest.Config{})
	refusing.Faults.RefuseExec(true)
	_, sftpOnly := sshdNode(t, "ForceCommand internal-sftp")
	for name, n := range map[string]*inventory.Node{"refused": node, "answered by SFTP": sftpOnly} {
		tree := filepath.Join(t.TempDir(), "tree")
		if err := os.MkdirAll(filepath.Join(tree, "a", "b"), 0o755); err != nil {
			t.Fatal(err)
		}
		err := connect(t, n).RemoveAll(t.Context(), tree)
		if _, statErr := os.Lstat(tree); err != nil || !os.IsNotExist(statErr) {
			t.Errorf("%s: %v, and the tree: %v", name, err, statErr)
		}
	}
}
