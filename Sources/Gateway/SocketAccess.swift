package import Glibc
import Posix

/// The users who can connect to a Unix socket: each of them can send any `REMOTE_USER`.
package struct SocketAccess: Equatable, Sendable {
    /// Permission bits; connecting requires write permission. unix(7).
    package var mode: mode_t
    /// nil for the group of the process, or of a setgid directory.
    package var group: gid_t?

    package init(mode: mode_t = 0o660, group: gid_t? = nil) {
        self.mode = mode
        self.group = group
    }

    /// Restricts the file that bind(2) creates for the socket to its owner.
    ///
    /// On Linux that file gets the mode of the socket itself, less the umask. The umask belongs to
    /// the whole process, whose other threads create files in the meantime.
    func restrict(_ socket: borrowing OwnedDescriptor) throws(SystemError) {
        let raw = socket.raw
        try check("fchmod") { fchmod(raw, mode & 0o700) }
    }

    /// Opens a bound socket, on which nobody listens yet, to the users who can connect.
    func apply(to path: String) throws(SystemError) {
        // The group first: the mode must not hold for another one.
        if let group { try check("chown", path) { lchown(path, uid_t.max, group) } }
        try check("chmod", path) { chmod(path, mode) }
    }

    /// Finds a group by its name or its number. getgrnam_r(3).
    ///
    /// - Returns: nil if it does not exist.
    package static func findGroup(_ name: String) -> gid_t? {
        var entry = Glibc.group()
        var found: UnsafeMutablePointer<Glibc.group>?
        var buffer = [CChar](repeating: 0, count: 1 << 16)
        if getgrnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil {
            return entry.gr_gid
        }
        // The largest number means "unchanged" to chown(2).
        return gid_t(name).flatMap { $0 == .max ? nil : $0 }
    }
}
