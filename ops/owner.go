package ops

import (
	"context"
	"fmt"
)

// LookupOwner turns a user's and a group's name, or numbers as text, into numbers as the node knows them. An empty group is the user's own.
func LookupOwner(ctx context.Context, h Runner, user, group string) (Owner, error) {
	const script = `u=$(id -u -- "$1") || exit 1
case $2 in
'') g=$(id -g -- "$1") ;;
*[!0-9]*) g=$(getent group "$2" | cut -d: -f3) ;;
*) g=$2 ;;
esac
[ -n "$g" ] && echo "$u $g"`
	var o Owner
	res, err := h.Run(ctx, Command{Argv: []string{"sh", "-c", script, "sh", user, group}})
	if err != nil {
		return o, fmt.Errorf("look up owner %s:%s: %w", user, group, err)
	}
	if _, err := fmt.Sscan(string(res.Stdout), &o.UID, &o.GID); err != nil {
		return o, fmt.Errorf("look up owner %s:%s: unexpected answer %q", user, group, res.Stdout)
	}
	return o, nil
}

// Login is who commands run as on a node.
type Login struct {
	User string
	Root bool
}

// LookupLogin asks the node who commands run as.
func LookupLogin(ctx context.Context, h Runner) (Login, error) {
	res, err := h.Run(ctx, Command{Argv: []string{"sh", "-c", "id -u && id -un"}})
	if err != nil {
		return Login{}, fmt.Errorf("look up login user: %w", err)
	}
	var uid int
	var l Login
	if _, err := fmt.Sscan(string(res.Stdout), &uid, &l.User); err != nil {
		return Login{}, fmt.Errorf("look up login user: unexpected answer %.80q", res.Stdout)
	}
	l.Root = uid == 0
	return l, nil
}

// As is argv run as user, "" for whoever l is, never asking for a password. PHP is to be started so: as root it would run code that the
// owner of the files can write, and leave files that he can't.
func (l Login) As(user string, argv []string) []string {
	switch {
	case user == "" || user == l.User:
		return argv
	case l.Root: // where sudo may not be installed
		return append([]string{"runuser", "-u", user, "--"}, argv...)
	}
	return append([]string{"sudo", "-n", "-u", user, "--"}, argv...)
}
