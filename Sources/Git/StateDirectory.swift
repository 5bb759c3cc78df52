import Bytes
import Glibc
package import Posix
import Synchronization

/// The local directory of this program, for workspaces and data that is kept between requests. It
/// is never the truth, and can be replaced by an empty one. Anything in it may be removed at any
/// time: a request that loses its workspace fails, and later ones create what they need again.
///
/// Each process has a ``ProcessDirectory`` of its own below `workspaces/`. The directories of dead
/// processes are removed by the next process that starts, and by any that finds the disk full.
package final class StateDirectory: Sendable {
    /// The directory itself.
    package let path: String
    private let workspaces: String
    private let place: Mutex<Place>
    /// Whether only this user could write to the directory when the process started.
    private let isPrivate: Bool

    /// The directory for this process's workspaces.
    private enum Place {
        case here(ProcessDirectory)
        /// The process is ending; its former directory.
        case closed(String)
    }

    /// Creates the directory if it is missing, and removes what dead processes left behind.
    package init(path: String) throws(SystemError) {
        self.path = path
        workspaces = path + "/workspaces"
        try Files.makeDirectories(path)
        isPrivate = try Self.isPrivate(path)
        ProcessDirectory.sweep(workspaces)
        place = Mutex(.here(try ProcessDirectory.claim(in: workspaces)))
    }

    /// Creates no more workspaces, and removes this process's directory when none is in use.
    ///
    /// - Returns: whether none is in use.
    @discardableResult
    package func remove() -> Bool {
        // Released after the lock.
        var last = place.withLock { place -> ProcessDirectory? in
            guard case .here(let home) = place else { return nil }
            place = .closed(home.path)
            return home
        }
        return last == nil || isKnownUniquelyReferenced(&last)
    }

    /// Creates the directory of one workspace. It exists as long as the process directory is
    /// referenced.
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
                // The state directory was cleared between two steps.
                guard error.code == ENOENT, attempts > 0 else { throw error }
            }
        }
    }

    struct WorkspaceDirectory: Sendable {
        let path: String
        let home: ProcessDirectory
    }

    /// The path of a directory for files without names, which is removed with this process.
    package func scratchPath() throws(SystemError) -> String { try processDirectory().path }

    /// This process's directory; a new one if it was removed or replaced.
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

    /// Creates the directory if it is missing. One that belonged only to this user must not belong
    /// to others now: anyone who can write to it can change what is served, and in `/var/tmp`
    /// anyone can create one under the name of a removed one.
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

    /// Removes the directories of dead processes.
    package func sweep() { ProcessDirectory.sweep(workspaces) }

    // MARK: The end of the process

    /// Ends git's processes and this one without leaving anything behind once a signal asks for it,
    /// such as SIGTERM, which web servers send to a CGI process whose client has gone away. The
    /// signals must have been blocked: ``Signals/blockEnding()``.
    package func endProcessOnSignal() throws(SystemError) {
        let thread = try Thread(stackBytes: 1 << 17) { [self] in
            let received = Signals.wait(for: [SIGTERM, SIGINT, SIGHUP])
            ChildProcess.endAll()
            endProcess(status: 128 + received)
        }
        _ = consume thread
    }

    /// Ends the process at once, whatever its threads are doing, and removes its directory.
    ///
    /// Nothing is removed while a thread runs: execve(2) ends all threads first, and only the
    /// program that it starts removes the directory. If that fails, the next start removes it.
    package func endProcess(status: Int32) -> Never {
        // A thread that is creating another directory holds the lock.
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
