package remotetest

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Packet types and the status code of SFTP version 3 that the filter looks at.
const (
	fxpVersion       = 2
	fxpOpen          = 3
	fxpWrite         = 6
	fxpMkdir         = 14
	fxpRename        = 18
	fxpStatus        = 101
	fxpExtended      = 200
	fxpExtendedReply = 201

	fxFailure       = 4
	fxOpUnsupported = 8

	maxPacket = 1 << 20
)

// sftpFilter stands between a channel and the SFTP server. It looks at whole packets, answers those that a fault is about
// itself, and passes all others on.
type sftpFilter struct {
	ch     ssh.Channel
	faults *Faults
	in     *io.PipeReader
	feed   *io.PipeWriter

	mu      sync.Mutex // one packet at a time to the client
	partial bytes.Buffer
}

func newSFTPFilter(ch ssh.Channel, f *Faults) *sftpFilter {
	s := &sftpFilter{ch: ch, faults: f}
	s.in, s.feed = io.Pipe()
	go s.pump()
	return s
}

func (s *sftpFilter) Read(p []byte) (int, error) { return s.in.Read(p) }

func (s *sftpFilter) Close() error {
	s.in.Close()
	return s.ch.Close()
}

// pump reads requests.
func (s *sftpFilter) pump() {
	for {
		packet, err := readPacket(s.ch)
		if err != nil {
			s.feed.CloseWithError(err)
			return
		}
		if answer := s.intercept(packet); answer != nil {
			err = s.send(answer)
		} else {
			_, err = s.feed.Write(frame(packet))
		}
		if err != nil {
			s.feed.CloseWithError(err)
			return
		}
	}
}

func readPacket(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 || n > maxPacket {
		return nil, io.ErrUnexpectedEOF
	}
	packet := make([]byte, n)
	_, err := io.ReadFull(r, packet)
	return packet, err
}

func frame(packet []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...)
}

// intercept gives the answer to a request that a fault is about, or nil to pass it on.
func (s *sftpFilter) intercept(packet []byte) []byte {
	if len(packet) < 5 {
		return nil
	}
	id, rest := packet[1:5], packet[5:]
	switch packet[0] {
	case fxpOpen:
		_, rest = field(rest)
		if s.faults.get(&s.faults.readOnly) && len(rest) >= 4 && rest[3]&0x02 != 0 { // for writing
			return status(id, fxFailure, "Failure")
		}
	case fxpMkdir:
		if s.faults.get(&s.faults.readOnly) {
			return status(id, fxFailure, "Failure")
		}
	case fxpWrite:
		_, rest = field(rest) // handle
		if len(rest) >= 8 {
			data, _ := field(rest[8:])
			if !s.faults.take(int64(len(data))) {
				return status(id, fxFailure, "Failure")
			}
		}
	case fxpRename:
		_, rest = field(rest)
		to, _ := field(rest)
		if _, err := os.Lstat(string(to)); err == nil && s.faults.get(&s.faults.noRename) {
			return status(id, fxFailure, "Failure")
		}
	case fxpExtended:
		name, _ := field(rest)
		switch {
		case s.lacks(string(name)):
			return status(id, fxOpUnsupported, "unsupported")
		case string(name) == "statvfs@openssh.com" && s.faults.full():
			return fileSystem(id, 0, 0)
		case string(name) == "statvfs@openssh.com" && s.faults.get(&s.faults.readOnly):
			return fileSystem(id, 1<<19, 1)
		}
	}
	return nil
}

// lacks reports whether the server is to have no extension of that name.
func (s *sftpFilter) lacks(extension string) bool {
	return extension == "posix-rename@openssh.com" && s.faults.get(&s.faults.noRename) ||
		extension == "hardlink@openssh.com" && s.faults.get(&s.faults.noLink)
}

// field cuts a string off the front of b.
func field(b []byte) (value, rest []byte) {
	if len(b) < 4 {
		return nil, nil
	}
	n := int(binary.BigEndian.Uint32(b))
	if b = b[4:]; n > len(b) {
		return b, nil
	}
	return b[:n], b[n:]
}

func appendField(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func status(id []byte, code uint32, message string) []byte {
	b := append([]byte{fxpStatus}, id...)
	b = binary.BigEndian.AppendUint32(b, code)
	return appendField(appendField(b, message), "")
}

// fileSystem is an answer to statvfs: so many blocks of 4 KiB are free, and inodes.
func fileSystem(id []byte, free, flags uint64) []byte {
	b := append([]byte{fxpExtendedReply}, id...)
	for _, v := range []uint64{4096, 4096, 1 << 20, free, free, 1 << 20, 1 << 19, 1 << 19, 0, flags, 255} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

// send writes one packet to the client.
func (s *sftpFilter) send(packet []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.ch.Write(frame(packet))
	return err
}

// Write takes the server's answers, in pieces of any size, and sends those packets that are complete.
func (s *sftpFilter) Write(p []byte) (int, error) {
	s.partial.Write(p)
	for {
		b := s.partial.Bytes()
		if len(b) < 4 || len(b)-4 < int(binary.BigEndian.Uint32(b)) {
			return len(p), nil
		}
		packet := bytes.Clone(b[4 : 4+binary.BigEndian.Uint32(b)])
		s.partial.Next(4 + len(packet))
		if packet[0] == fxpVersion {
			packet = s.version(packet)
		}
		if err := s.send(packet); err != nil {
			return 0, err
		}
	}
}

// version leaves out the extensions that the server is to lack.
func (s *sftpFilter) version(packet []byte) []byte {
	out, rest := packet[:5:5], packet[5:]
	for len(rest) > 0 {
		var name, data []byte
		name, rest = field(rest)
		data, rest = field(rest)
		if !s.lacks(string(name)) {
			out = appendField(appendField(out, string(name)), string(data))
		}
	}
	return out
}
