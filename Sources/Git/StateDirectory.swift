import Bytes
import Glibc
package import Posix
import Synchronization

/// The local directory of this program: workspaces, and what may be kept between requests. Nothing
/// in it is truth; an empty one is as good. Anything in it may be removed at any time: a request
/// that loses its workspace fails, and later ones create what they need again.
///
/// Each process has a ``ProcessDirectory`` of its own below `workspaces/`. What dead processes left
/// is swept by the next process that starts, and by any that finds the disk full.
package final class StateDirectory: Sendable {
    /// The directory itself.
    package let path: String
    private let workspaces: String
    private let place: Mutex<Place>
    /// Whether the directory was this user's alone when the process started.
    private let isPrivate: Bool

    /// Where this process's workspaces are made.
    private enum Place {
        case here(ProcessDirectory)
        /// The process ends; where they were made.
        case closed(String)
    }

    /// Makes the directory if it is missing, sweeps what dead processes left, and takes a place.
    package init(path: String) throws(SystemError) {
        self.path = path
        workspaces = path + "/workspaces"
        try Files.makeDirectories(path)
        isPrivate = try Self.isPrivate(path)
        ProcessDirectory.sweep(workspaces)
        place = Mutex(.here(try ProcessDirectory.claim(in: workspaces)))
    }

    /// Makes no more workspaces, and removes this process's directory when no workspace is in use.
    ///
    /// - Returns: whether none is.
    @discardableResult
    package func remove() -> Bool {
        // Freed when the lock is not held any more.
        var last = place.withLock { place -> ProcessDirectory? in
            guard case .here(let home) = place else { return nil }
            place = .closed(home.path)
            return home
        }
        return last == nil || isKnownUniquelyReferenced(&last)
    }

    /// A directory for one workspace. It is there as long as the process directory is referred to.
    func makeWorkspaceDirectory() throws(SystemError) -> WorkspaceDirectory {
        var attempts = 3
        while true {
            let home = try processDirectory()
            let directory = "\(home.path)/\(Hex.random(bytes: 8))"
            do throws(SystemError) {
                try check("mkdir", directory) { mkdir(directory, 0o700) }
                return WorkspaceDirectory(path: directory, home: home)
            } catch {
                attempts -= 1
                // Cleared between two steps.
                guard error.code == ENOENT, attempts > 0 else { throw error }
            }
        }
    }

    struct WorkspaceDirectory: Sendable {
        let path: String
        let home: ProcessDirectory
    }

    /// This process's directory; another one if that is gone, or was replaced.
    private func processDirectory() throws(SystemError) -> ProcessDirectory {
        try place.withLock { (place) throws(SystemError) in
            guard case .here(let home) = place else {
                throw SystemError("mkdir", workspaces, code: ESHUTDOWN)
            }
            try ensure()
            if home.isInPlace { return home }
            let another = try ProcessDirectory.claim(in: workspaces)
            place = .here(another)
            return another
        }
    }

    /// Makes the directory if it is missing. One that was this user's alone must not have become
    /// somebody else's: whoever can write to it can change what is served, and in `/var/tmp` anybody
    /// may make one under the name of one that was removed.
    func ensure() throws(SystemError) {
        try Files.makeDirectories(path)
        if isPrivate, try !Self.isPrivate(path) { throw SystemError("open", path, code: EPERM) }
    }

    /// Whether only this user and root can write to a directory. stat(2).
    package static func isPrivate(_ path: String) throws(SystemError) -> Bool {
        var status = stat()
        try check("stat", path) { stat(path, &status) }
        return status.st_mode & 0o022 == 0 && (status.st_uid == geteuid() || status.st_uid == 0)
    }

    /// Removes what dead processes left.
    package func sweep() { ProcessDirectory.sweep(workspaces) }

    // MARK: The end of the process

    /// Ends the process at once, whatever its threads are doing, and leaves nothing of it behind.
    ///
    /// Nothing is removed beneath a running thread: execve(2) ends all threads first, and only what
    /// it starts removes the directory. Where that cannot be, the next start sweeps.
    package func endProcess(status: Int32) -> Never {
        // A thread that is making another directory has the lock.
        let directory = place.withLockIfAvailable { place -> String in
            switch place {
            case .here(let home): home.path
            case .closed(let path): path
            }
        }
        if let directory, access(directory, F_OK) == 0 {
            let words = [
                "sh", "-c", #"rm -rf -- "$0" </dev/null >/dev/null 2>&1; exit "$1""#, directory,
                "\(status)",
            ]
            let environment = [strdup("PATH=/usr/bin:/bin"), nil]
            execve("/bin/sh", words.map { strdup($0) } + [nil], environment)
        }
        _exit(status)
    }
}
