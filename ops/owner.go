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
