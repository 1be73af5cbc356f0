package health

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
)

// writable are the folders that mosparo writes below its installation.
var writable = [...]string{"config", "public/resources", "var", "var/cache", "var/data", "var/log"}

// ownership is who owns what mosparo must be able to write.
type ownership struct {
	uid     int
	foreign []string // paths of others, the first few
	locked  []string // folders that their owner may not write
}

// owner looks for files that a console command of another user has left, and for folders that can't be written.
func owner() Check {
	return question[ownership]{
		Info: Info{
			Name: "files-owner", Family: FamilyFiles,
			Title: "Can PHP write its configuration, cache, logs and resources?",
			Why:   "A console command run as root leaves files that PHP can't write: pages answer 500 and settings can't be saved.",
			Mend:  "give what the evidence names to the user that PHP runs as",
		},
		ask: askOwner,
		judge: func(_ context.Context, v *verdicts, answers []answer[ownership]) {
			for _, a := range answers {
				o := a.value
				switch {
				case len(o.locked) > 0:
					v.fail(a.node, a.node.exec("chmod", "u+rwx", o.locked[0]), "the owner can't write %s", list(o.locked, 3))
				case len(o.foreign) > 0:
					v.fail(a.node, a.node.exec("chown", "-R", strconv.Itoa(o.uid), o.foreign[0]), "%s: not of user %d", list(o.foreign, 3), o.uid)
				default:
					v.ok(a.node, "all of user %d", o.uid)
				}
			}
		},
	}
}

func askOwner(ctx context.Context, n *node) (ownership, error) {
	var o ownership
	if err := n.mosparo(ctx); err != nil {
		return o, err
	}
	uid, err := n.ownerID(ctx)
	if err != nil {
		return o, err
	}
	o.uid = uid
	var dirs []string
	for _, name := range writable {
		dir := n.file(name) + "/."
		info, err := n.host.Lstat(ctx, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return o, err
		}
		if info.UID == uid && info.Mode.Perm()&0o300 != 0o300 {
			o.locked = append(o.locked, n.file(name))
		}
		if name != "var" && name != "var/data" {
			dirs = append(dirs, dir)
		} else if info.UID != uid {
			o.foreign = append(o.foreign, n.file(name))
		}
	}
	if len(dirs) == 0 {
		return o, failf(n.deployMend(), "there is none of %s", strings.Join(writable[:], ", "))
	}
	// A link's own owner doesn't matter, that of what it leads to does: shared paths are links in a release.
	const script = `u=$1; shift; find -L "$@" ! -type l ! -user "$u" 2>/dev/null | head -n 20`
	out, err := n.output(ctx, append([]string{"sh", "-c", script, "sh", strconv.Itoa(uid)}, dirs...)...)
	if err != nil {
		return o, err
	}
	for _, path := range lines(out) {
		o.foreign = append(o.foreign, strings.ReplaceAll(path, "/./", "/"))
	}
	return o, nil
}

// ownerID is the user who should own mosparo's files: the inventory's, else that of .env, which mosparo's own updater
// looks at too.
func (n *node) ownerID(ctx context.Context) (int, error) {
	if n.Owner.User != "" {
		o, err := ops.LookupOwner(ctx, n.host, n.Owner.User, n.Owner.Group)
		if err != nil {
			return 0, failf("set owner in the inventory to a user that the node has", "there is no user %s", n.Owner.User)
		}
		return o.UID, nil
	}
	info, err := n.stat(ctx, n.file(".env"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, failf(n.deployMend(), "%s is missing: mosparo does not start without it", n.file(".env"))
	}
	return info.UID, err
}
