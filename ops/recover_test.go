package ops_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops"
)

func TestRecoverTakesBackLastFirstAndKeepsWhatFails(t *testing.T) {
	dir := t.TempDir()
	j, err := ops.OpenJournal(dir, "run")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c"} {
		if err := j.Begin(ops.Step{ID: id, Node: "n", Title: id, Undo: &ops.Undo{Kind: "k", Node: "n", Data: map[string]string{"id": id}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Settle("b"); err != nil {
		t.Fatal(err)
	}
	var seen []string
	var broken error
	undoers := ops.Undoers{"k": func(_ context.Context, u ops.Undo) error {
		seen = append(seen, u.Data["id"])
		return broken
	}}
	broken = errors.New("node is down")
	if _, err := ops.Recover(t.Context(), dir, undoers, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := ops.Recover(t.Context(), dir, ops.Undoers{}, nil); err == nil {
		t.Error("an unknown kind was taken back")
	}
	broken = nil
	n, err := ops.Recover(t.Context(), dir, undoers, nil)
	if err != nil || n != 2 || !slices.Equal(seen, []string{"c", "a", "c", "a"}) {
		t.Errorf("took back %d (%v) with %v", n, seen, err)
	}
	if left, _ := ops.Leftovers(dir); len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
}
