package tui

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestFailedLoginStays wants what ssh said to stay until it was read, and nobody to be held up after a shell that was left.
func TestFailedLoginStays(t *testing.T) {
	lent := func(command string) (keys, screen *os.File, ended <-chan error) {
		in, keys, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		screen, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			for _, f := range []*os.File{in, keys, screen, out} {
				f.Close()
			}
		})
		p := process{exec.Command("/bin/sh", "-c", command)}
		p.SetStdin(in)
		p.SetStdout(out)
		p.SetStderr(out)
		done := make(chan error, 1)
		go func() { done <- p.Run() }()
		return keys, screen, done
	}
	keys, screen, ended := lent("echo Permission denied >&2; exit 255")
	lines := bufio.NewReader(screen)
	if said, err := lines.ReadString('\n'); err != nil || said != "Permission denied\n" {
		t.Fatalf("ssh said %q (%v)", said, err)
	}
	if asked, err := lines.ReadString(':'); err != nil || !strings.Contains(asked, "exit status 255. ⏎ goes back") {
		t.Fatalf("asked %q (%v)", asked, err)
	}
	select {
	case err := <-ended:
		t.Fatalf("ended with %v before ⏎", err)
	default:
	}
	if _, err := keys.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the failure is lost")
	}
	for _, command := range []string{"exit 0", "exit 1"} {
		_, _, ended := lent(command)
		<-ended // without a key
	}
}
