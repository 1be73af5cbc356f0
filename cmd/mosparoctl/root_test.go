package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops"
)

func TestErrorsOfNodesGetAHint(t *testing.T) {
	deploy := &ops.Error{Op: "deploy", Err: ops.NodeError("app2", "upload", errors.New("write a.php: no space left on device"))}
	for _, tt := range []struct {
		name string
		err  error
		hint string
	}{
		{"a full disk", deploy, "make room, such as by: mosparoctl prune --nodes app2"},
		{"no rights", ops.NodeError("app1", "take lock", errors.New("mkdir lock: permission denied")),
			"log in as the owner of the files, or set ssh.become: true for app1 in the inventory"},
		{"a hint of its own", ops.Errorf(ops.CodeFailed, "permission denied").On("app1").WithHint("mend it"), "mend it"},
		{"this machine", ops.Errorf(ops.CodeUsage, "open plan: permission denied"), ""},
		{"anything else", ops.NodeError("app1", "read", errors.New("no such file")), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := asUserError(nil, tt.err)
			if hint := ops.HintOf(got); hint != tt.hint {
				t.Errorf("hint %q, want %q", hint, tt.hint)
			}
			if got.Error() != tt.err.Error() || ops.CodeOf(got) != ops.CodeOf(tt.err) {
				t.Errorf("%v became %v", tt.err, got)
			}
		})
	}
	if err := fmt.Errorf("wrapped: %w", deploy); !errors.Is(asUserError(nil, err), deploy) {
		t.Error("what wraps an error of ours was replaced")
	}
}
