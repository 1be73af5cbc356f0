package health

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// diskUse is how full one file system is.
type diskUse struct {
	mount         string
	bytes, inodes int // percent used; inodes -1 where the file system has no fixed number of them
}

// disk looks at the file systems of the installation, of temporary files and of the logs.
func disk() Check {
	return question[[]diskUse]{
		Info: Info{
			Name: "node-disk", Family: FamilyNode,
			Title: "Is there room on every node, in bytes and in inodes?",
			Why:   "A full disk breaks deploys half way, and mosparo's cache, logs and configuration can't be written.",
			Mend:  "mosparoctl prune",
		},
		ask: func(ctx context.Context, n *node) ([]diskUse, error) {
			// The root may not be there before the first deploy; its parent is then.
			const script = `for d in "$1" "$2" /tmp /var; do [ -d "$d" ] && set -- "$@" "$d"; done; shift 2; df -P "$@"; echo; df -Pi "$@" 2>/dev/null || true`
			out, err := n.output(ctx, "sh", "-c", script, "sh", n.Paths.Root, path.Dir(n.Paths.Root))
			if err != nil {
				return nil, err
			}
			return parseDF(string(out))
		},
		judge: func(_ context.Context, v *verdicts, answers []answer[[]diskUse]) {
			limits := v.session.env.Deployment.Check
			warn, fail := cmp.Or(limits.DiskWarn, 85), cmp.Or(limits.DiskFail, 95)
			for _, a := range answers {
				verdict, worst, text := OK, -1, ""
				var figures []Figure
				for _, d := range a.value {
					figures = append(figures, percent("used_"+mountName(d.mount), d.bytes, warn, fail))
					if d.inodes >= 0 {
						figures = append(figures, percent("inodes_"+mountName(d.mount), d.inodes, warn, fail))
					}
					for what, used := range map[string]int{"full": d.bytes, "out of inodes": d.inodes} {
						if used > worst {
							worst, text = used, fmt.Sprintf("%s is %d%% %s", d.mount, used, what)
						}
					}
				}
				switch {
				case worst >= fail:
					verdict = Fail
				case worst >= warn:
					verdict = Warn
				}
				v.add(a.node, verdict, "mosparoctl prune --nodes "+a.node.Name, text, figures...)
			}
			v.allOK("no file system above %d%%", warn)
		},
	}
}

func percent(name string, value, warn, fail int) Figure {
	return Figure{Name: name, Value: float64(value), Unit: "%", Warn: float64(warn), Fail: float64(fail)}
}

// mountName makes a mount point part of a figure's name.
func mountName(mount string) string {
	if mount == "/" {
		return "root"
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(strings.Trim(mount, "/")))
}

// parseDF reads the two tables of "df -P" and "df -Pi", with an empty line between them. A file system that was asked
// for twice is listed twice; it counts once.
func parseDF(out string) ([]diskUse, error) {
	blocks, inodes, _ := strings.Cut(out, "\n\n")
	var list []diskUse
	at := map[string]int{}
	for i, table := range []string{blocks, inodes} {
		rows := strings.Split(strings.TrimSpace(table), "\n")
		for _, row := range rows[1:] {
			f := strings.Fields(row)
			if len(f) < 6 {
				return nil, fmt.Errorf("read df: unexpected line %q", row)
			}
			mount := strings.Join(f[5:], " ")
			used, err := strconv.Atoi(strings.TrimSuffix(f[4], "%"))
			if err != nil && f[4] != "-" {
				return nil, fmt.Errorf("read df: unexpected line %q", row)
			}
			k, seen := at[mount]
			switch {
			case i == 0 && !seen:
				at[mount] = len(list)
				list = append(list, diskUse{mount: mount, bytes: used, inodes: -1})
			case i == 1 && seen && f[4] != "-":
				list[k].inodes = used
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("read df: it listed nothing")
	}
	return list, nil
}
