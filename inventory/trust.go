package inventory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// ErrForeign says that an inventory was found that others could have put there. It holds commands, so it is only read if it is named.
var ErrForeign = errors.New("others could have put it there, and it says what is run in your name")

// checkFound refuses a file in the working folder, or a link there, that is not ours alone.
func checkFound(name string) error {
	who := owners()
	for _, look := range []struct {
		what, path string
		stat       func(string) (fs.FileInfo, error)
	}{{"its folder", filepath.Dir(name), os.Stat}, {"it", name, os.Lstat}, {"it", name, os.Stat}} {
		info, err := look.stat(look.path)
		if err != nil {
			return err
		}
		if why := foreign(info, who); why != "" {
			return fmt.Errorf("./%s: %s %s: %w", name, look.what, why, ErrForeign)
		}
	}
	return nil
}

// owners are the users whose files are as good as ours: root, and who called sudo.
func owners() map[int]bool {
	who := map[int]bool{0: true, os.Geteuid(): true}
	if caller, err := strconv.Atoi(os.Getenv("SUDO_UID")); err == nil && os.Geteuid() == 0 {
		who[caller] = true
	}
	return who
}

// foreign is why others than who can change a file, or what is in a folder; "" if they can't.
func foreign(info fs.FileInfo, who map[int]bool) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && !who[int(st.Uid)] {
		return fmt.Sprintf("belongs to user %d", st.Uid)
	}
	link, shared := info.Mode()&fs.ModeSymlink != 0, info.IsDir() && info.Mode()&fs.ModeSticky != 0
	if info.Mode().Perm()&0o002 != 0 && !link && !shared {
		return "may be written to by everybody"
	}
	return ""
}
