package ops_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Layers name the node they know; a person reads it once.
func TestErrorNamesNodeAndOperationOnce(t *testing.T) {
	refused := &ops.Error{Node: "app3", Err: errors.New("connection refused")}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{ops.NodeError("app3", "read facts", refused), "app3: read facts: connection refused"},
		{ops.NodeError("app3", "", ops.NodeError("app3", "sync", refused)), "app3: sync: connection refused"},
		{&ops.Error{Op: "sync", Err: ops.NodeError("app3", "sync", refused)}, "sync: app3: sync: connection refused"},
		{ops.NodeError("app1", "copy", refused), "app1: copy: app3: connection refused"},
		{&ops.Error{Node: "app3", Err: fmt.Errorf("twice: %w", refused)}, "app3: twice: app3: connection refused"},
		{&ops.Error{Op: "deploy", Err: &ops.Error{Op: "deploy", Err: errors.New("no")}}, "deploy: no"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
