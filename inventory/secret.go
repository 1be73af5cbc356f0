package inventory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"
	"unique"
)

// secretMask is what a Secret shows of itself.
const secretMask = "••••••"

// Secret is a value that never shows itself. It holds a reference ("env:NAME", "file:/path", "cmd:command line") or the
// value itself, and is resolved only where it is used. Copies are cheap, equal ones compare as equal; safe for concurrent use.
type Secret struct {
	// A handle and not the string, since fmt prints the fields of a struct under verbs that it finds bad, such as %p,
	// without asking Format.
	handle unique.Handle[string]
}

// NewSecret makes a Secret of a reference or of a plain value. That of "" is the zero Secret.
func NewSecret(ref string) Secret {
	if ref == "" {
		return Secret{}
	}
	return Secret{handle: unique.Make(ref)}
}

// IsZero reports whether nothing was given.
func (s Secret) IsZero() bool { return s == Secret{} }

// ref is the reference or the plain value.
func (s Secret) ref() string {
	if s.IsZero() {
		return ""
	}
	return s.handle.Value()
}

// Reference is the reference if it is one ("env:NAME"), which is no secret itself, else the mask.
func (s Secret) Reference() string {
	if s.ref() == "" || s.isRef() {
		return s.ref()
	}
	return secretMask
}

func (s Secret) isRef() bool {
	for _, p := range []string{"env:", "file:", "cmd:"} {
		if strings.HasPrefix(s.ref(), p) {
			return true
		}
	}
	return false
}

// Resolve returns the value. A reference to an unset variable, an unreadable file or a failing command is an error that
// names the reference, never the value. One trailing newline of a file or a command is dropped. A command runs in sh,
// at most 30 seconds.
func (s Secret) Resolve(ctx context.Context) (string, error) {
	kind, rest, _ := strings.Cut(s.ref(), ":")
	if !s.isRef() {
		return s.ref(), nil
	}
	switch kind {
	case "env":
		v, ok := os.LookupEnv(rest)
		if !ok {
			return "", fmt.Errorf("secret %s: the variable is not set", s.ref())
		}
		return v, nil
	case "file":
		b, err := os.ReadFile(rest)
		if err != nil {
			return "", fmt.Errorf("secret %s: %w", s.ref(), err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
	default:
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", rest)
		var out bytes.Buffer
		cmd.Stdout, cmd.WaitDelay = &out, time.Second
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("secret %s: %w", s.ref(), errors.Join(err, ctx.Err()))
		}
		return strings.TrimSuffix(out.String(), "\n"), nil
	}
}

// String is the mask; so are all other ways of printing a Secret.
func (s Secret) String() string {
	if s.ref() == "" {
		return ""
	}
	return secretMask
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return "inventory.Secret(" + s.String() + ")" }

// Format hides the value from every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText hides the value from JSON, YAML and logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
