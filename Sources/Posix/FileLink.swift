import Glibc

/// Gives a file a second name, or copies it if that is impossible.
package struct FileLink: Sendable {
    /// Calls link(2) and returns 0 or the error number.
    package let hardLink: @Sendable (_ source: String, _ target: String) -> Int32

    package init(hardLink: @escaping @Sendable (_ source: String, _ target: String) -> Int32) {
        self.hardLink = hardLink
    }

    /// The system's link(2).
    package static let system = FileLink { source, target in
        link(source, target) == 0 ? 0 : errno
    }

    /// Links the file at `source` to `target`, which must not exist.
    ///
    /// The target is a copy if it is on another file system, the file has another owner
    /// (`fs.protected_hardlinks`) or too many links, or the file system has no links.
    package func place(_ source: String, at target: String) throws(SystemError) {
        let code = hardLink(source, target)
        switch code {
        case 0: return
        case EXDEV, EPERM, EMLINK, EACCES, EOPNOTSUPP, ENOSYS:
            try Files.copy(source, to: target, mode: 0o444, .unsynced)
        default: throw SystemError("link", source, code: code)
        }
    }
}
