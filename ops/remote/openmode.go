package remote

import (
	"encoding/binary"
	"io"
)

// The packet of SFTP version 3 that opens a file, two of its flags, and the flag of its attributes that says that they hold a mode.
const (
	fxpOpen         = 3
	fxfCreate       = 0x08
	fxfExclusive    = 0x20
	attrPermissions = 0x04
)

// closedFiles asks the server to make new files readable by their owner only. The client sends no mode, so that a file would have the one
// of the server's umask until it is changed: long enough for others on the node to open it, and to read what is written to it later.
// The client writes each of its packets that has no payload at once.
type closedFiles struct{ io.WriteCloser }

func (w closedFiles) Write(p []byte) (int, error) {
	closed, ok := withMode(p, 0o600)
	if !ok {
		return w.WriteCloser.Write(p)
	}
	if _, err := w.WriteCloser.Write(closed); err != nil {
		return 0, err
	}
	return len(p), nil
}

// withMode is the packet that makes a new file, with a mode for it. ok is false for what is no such packet, or has attributes already.
// Behind length, type and id it has the name's length, the name, its flags and those of the attributes.
func withMode(p []byte, mode uint32) (packet []byte, ok bool) {
	const name, flags = 4 + 1 + 4 + 4, 4 + 4
	if len(p) < name+flags || binary.BigEndian.Uint32(p) != uint32(len(p)-4) || p[4] != fxpOpen ||
		binary.BigEndian.Uint32(p[name-4:]) != uint32(len(p)-name-flags) {
		return nil, false
	}
	open, attributes := binary.BigEndian.Uint32(p[len(p)-8:]), binary.BigEndian.Uint32(p[len(p)-4:])
	if open&(fxfCreate|fxfExclusive) != fxfCreate|fxfExclusive || attributes != 0 {
		return nil, false
	}
	packet = binary.BigEndian.AppendUint32(make([]byte, 0, len(p)+4), uint32(len(p)))
	packet = append(packet, p[4:len(p)-4]...)
	packet = binary.BigEndian.AppendUint32(packet, attrPermissions)
	return binary.BigEndian.AppendUint32(packet, mode), true
}
