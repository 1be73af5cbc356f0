package cron

import (
	"cmp"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// searchPath is the PATH of a job: cron's own is too short for PHP in /usr/local.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// maxCommand is the longest command that vixie-cron reads, with a little to spare.
const maxCommand = 990

// LockDir is the folder on the node that holds one lock file per job. It outlives releases and is not synced.
func LockDir(n *inventory.Node) string { return n.SharedPath("var/cron") }

// User is who runs the jobs on n; "" means the user that logs in.
func User(d *inventory.Deployment, n *inventory.Node) string {
	return cmp.Or(d.Cron.User, n.Owner.User, n.PHP.User)
}

// Shell is the job's command for sh: one run at a time, output to syslog. An end with another status than 0 is told there too.
func Shell(n *inventory.Node, s Schedule, console []string) string {
	command := append([]string{}, n.PHP.Command...)
	if len(command) == 0 {
		command = []string{"php"}
	}
	command = append(append(command, "bin/console"), console...)
	command = append(command, "--no-interaction")
	words := make([]string, len(command))
	for i, w := range command {
		words[i] = shellQuote(w)
	}
	guard := ""
	if s.Guard != nil {
		guard = s.Guard.Shell() + " && "
	}
	return fmt.Sprintf(`PATH=%s; export PATH; %s{ cd %s && flock -n %s %s || echo "ended with status $?"; } 2>&1 | logger -t mosparo-%s`,
		searchPath, guard, shellQuote(n.InstallPath()), shellQuote(path.Join(LockDir(n), s.Job+".lock")), strings.Join(words, " "), s.Job)
}

// shellQuote quotes s for sh, where it must be.
func shellQuote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"
	if s != "" && strings.Trim(s, plain) == "" && strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(plain, r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// entryLine is the crontab line of s. user is "" in a user's own crontab.
func entryLine(n *inventory.Node, s Schedule, console []string, user string) (string, error) {
	command := strings.ReplaceAll(Shell(n, s, console), "%", `\%`)
	if strings.ContainsAny(command+user, "\n\r\x00") {
		return "", fmt.Errorf("job %s: a crontab line can't hold a new line", s.Job)
	}
	if len(command) > maxCommand {
		return "", fmt.Errorf("job %s: its command has %d characters, cron takes %d: shorten the paths or php.command", s.Job, len(command), maxCommand)
	}
	if user != "" {
		if strings.ContainsAny(user, " \t") {
			return "", fmt.Errorf("job %s: %q can't be a user's name", s.Job, user)
		}
		user += " "
	}
	return s.Fields.Text + " " + user + command, nil
}

// note is the comment above a job's line. phaseOf reads it back.
func note(s Schedule) string {
	first := time.Unix(int64(s.Phase)*60, 0).UTC()
	when := first.Format("15:04")
	if s.Every >= Week {
		when = first.Format("Monday 15:04")
	}
	text := fmt.Sprintf("# job %s every %s phase %dm: from %s UTC on", s.Job, s.Every, s.Phase, when)
	if s.Guard != nil {
		text += fmt.Sprintf("; the clock of %s changes, so the test in the line picks the right hours", s.Zone)
	}
	return text
}

// phaseOf reads what note wrote.
func phaseOf(line string) (job string, every time.Duration, phase int, ok bool) {
	var interval string
	head, _, _ := strings.Cut(line, ":")
	if n, err := fmt.Sscanf(head, "# job %s every %s phase %dm", &job, &interval, &phase); n != 3 || err != nil {
		return "", 0, 0, false
	}
	every, err := time.ParseDuration(interval)
	return job, every, phase, err == nil && every > 0
}

// fileNote begins every block.
const fileNote = `# Written by mosparoctl. Change cron in the inventory, then run "mosparoctl cron apply".`

// blockOf makes the managed block for one node, "" if it has no jobs. user is the user column of a system crontab.
func blockOf(deployment string, n *inventory.Node, list []Schedule, console map[string][]string, user string) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	lines := []string{fileNote}
	for _, s := range list {
		line, err := entryLine(n, s, console[s.Job], user)
		if err != nil {
			return "", err
		}
		lines = append(lines, note(s), line)
	}
	return NewBlock(deployment, lines), nil
}

// FileName is the name of the deployment's file in /etc/cron.d. cron ignores names with anything but letters, digits,
// underscores and dashes.
func FileName(deployment string) string {
	var b strings.Builder
	b.WriteString("mosparoctl")
	dash := true
	for _, r := range strings.ToLower(deployment) {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '_' {
			if dash {
				b.WriteByte('-')
			}
			b.WriteRune(r)
			dash = false
		} else {
			dash = true
		}
	}
	return b.String()
}
