import Glibc

/// Gives a file a second name, or makes a copy of it where that cannot be.
package struct FileLink: Sendable {
    /// link(2); 0 or the error's number.
    package let hardLink: @Sendable (_ source: String, _ target: String) -> Int32

    package init(hardLink: @escaping @Sendable (_ source: String, _ target: String) -> Int32) {
        self.hardLink = hardLink
    }

    /// The system's own.
    package static let system = FileLink { source, target in
        link(source, target) == 0 ? 0 : errno
    }

    /// Puts the file at `source` at `target` as well, where nothing is yet.
    ///
    /// Another file system, another owner (`fs.protected_hardlinks`), too many links, or a file
    /// system without links: the target is a copy then.
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
