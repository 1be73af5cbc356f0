package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/remote"
)

// secret reads a line that is not shown. io.EOF is ^C or ^D, which are keys here: the terminal would stay without echo if they ended
// the program. It is as before in any case, also when ctx ends.
func (a *app) secret(ctx context.Context, question string) ([]byte, error) {
	in, ok := a.stdin.(*os.File)
	if !ok {
		return nil, errors.New("there is no terminal to ask on")
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("hide what is typed: %w", err)
	}
	defer func() { _ = term.Restore(int(in.Fd()), before) }()
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, a.stderr}, "")
	if w, h, err := term.GetSize(int(in.Fd())); err == nil && w > 0 {
		_ = t.SetSize(w, h)
	}
	line, err := await(func() ([]byte, error) {
		line, err := t.ReadPassword(question)
		return []byte(line), err
	}, ctx.Done(), a.stop)
	if err != nil {
		fmt.Fprint(a.stderr, "\r\n")
	}
	return line, err
}

// passphraseTries is how often a passphrase may be wrong.
const passphraseTries = 3

// unlockKeys asks once for each key file that needs a passphrase, before the full screen takes the terminal. Connections that are lost
// and made again later ask for nothing. It returns a warning for each key that stays locked; the error is an interrupt, or a terminal on
// which nothing can be asked.
func (s *session) unlockKeys(ctx context.Context) ([]ops.Event, error) {
	var locked []ops.Event
	for _, k := range s.hosts.LockedKeys(ctx) {
		why, err := s.unlockKey(ctx, k)
		if err != nil {
			return nil, err
		}
		if why != "" {
			e := ops.Event{Kind: ops.Warning, Op: "unlock", Message: fmt.Sprintf("key %s stays locked (%s): %s may not let you in", k.File, why, few(k.Nodes)),
				Hint: "ssh-add " + k.File}
			s.app.printer.Emit(e)
			locked = append(locked, e)
		}
	}
	return locked, nil
}

// unlockKey asks for the passphrase of a key, and says why it stays locked; "" means that it is open.
func (s *session) unlockKey(ctx context.Context, k remote.LockedKey) (why string, err error) {
	question := fmt.Sprintf("Passphrase of %s for %s (enter alone leaves it locked): ", k.File, few(k.Nodes))
	for try := 1; ; try++ {
		pass, err := s.app.secret(ctx, question)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, context.Canceled):
			return "", context.Canceled
		case err != nil:
			return "", err
		case len(pass) == 0:
			return "no passphrase was given", nil
		}
		err = s.hosts.Unlock(k.File, pass)
		clear(pass)
		switch {
		case err == nil:
			return "", nil
		case !errors.Is(err, remote.ErrPassphrase):
			return err.Error(), nil
		case try == passphraseTries:
			return "the passphrase was wrong " + count(passphraseTries, "time"), nil
		}
		fmt.Fprintf(s.app.stderr, "That does not open it (%d of %d).\n", try, passphraseTries)
	}
}

// few names at most four of many.
func few(names []string) string {
	if len(names) <= 4 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}
