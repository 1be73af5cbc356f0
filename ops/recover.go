package ops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Recover takes back what runs that did not end have left pending in the journals of dir, last step first, and removes each
// journal when all of it is settled. What can't be taken back now is reported to sink, stays in its journal and makes an error.
// Hold the deployment's lock: the journal of a run that is still going on would be taken back too. It returns how many steps
// were taken back.
func Recover(ctx context.Context, dir string, undoers Undoers, sink Sink) (int, error) {
	leftovers, err := Leftovers(dir)
	if err != nil {
		return 0, err
	}
	if sink == nil {
		sink = Discard
	}
	done := 0
	var errs []error
	for _, l := range leftovers {
		failed := false
		for _, p := range slices.Backward(l.Pending) {
			err := recoverOne(ctx, p, undoers)
			e := Event{Time: time.Now(), Kind: Finished, Op: "recover", Node: p.Undo.Node, Step: p.Step, Message: "taken back: " + p.Title}
			if err != nil {
				failed = true
				errs = append(errs, NodeError(p.Undo.Node, "take back: "+p.Title, err))
				e.Kind, e.Message, e.Error, e.Hint, e.Code = Failed, p.Title, err.Error(), HintOf(err), CodeOf(err)
			} else {
				done++
			}
			sink.Emit(e)
		}
		if !failed {
			errs = append(errs, l.Remove())
		}
	}
	return done, errors.Join(errs...)
}

func recoverOne(ctx context.Context, p PendingUndo, undoers Undoers) error {
	undo := undoers[p.Undo.Kind]
	if undo == nil {
		return fmt.Errorf("no way known to undo %q", p.Undo.Kind)
	}
	ctx, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	return undo(ctx, p.Undo)
}
