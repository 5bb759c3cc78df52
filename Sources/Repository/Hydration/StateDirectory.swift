import Glibc
package import Posix

/// The local directory of this program: workspaces, and what may be kept between requests. Nothing
/// in it is truth; an empty one is as good.
///
/// Each process has a directory of its own below `workspaces/`, and holds the lock of a file in
/// it. A directory whose lock is free belonged to a process that died: the next start removes it.
package final class StateDirectory: Sendable {
    /// The directory itself.
    package let path: String
    private let processDirectory: String
    private let lock: OwnedDescriptor

    /// Makes the directory if it is not there, sweeps what dead processes left, and takes a place.
    package init(path: String) throws(SystemError) {
        self.path = path
        let workspaces = path + "/workspaces"
        try Files.makeDirectories(workspaces)
        Self.sweep(workspaces)

        // Locked before it has the name that a sweeper looks at.
        let name = randomHex()
        let claimed = "\(workspaces)/new-\(name)"
        try Files.makeDirectories(claimed)
        lock = try OwnedDescriptor.open(claimed + "/lock", O_CREAT | O_RDWR)
        _ = try Files.lock(lock.raw, waiting: .never, claimed)
        processDirectory = "\(workspaces)/live-\(name)"
        let target = processDirectory
        try check("rename", claimed) { rename(claimed, target) }
    }

    deinit {
        Files.removeTree(processDirectory)
    }

    /// Removes this process's directory; no workspace may be in use.
    package func remove() {
        Files.removeTree(processDirectory)
    }

    /// An empty directory for one workspace.
    func makeWorkspaceDirectory() throws(SystemError) -> String {
        let directory = "\(processDirectory)/\(randomHex(bytes: 8))"
        try check("mkdir", directory) { mkdir(directory, 0o700) }
        return directory
    }

    /// Seconds after which a directory that never got its lock is left over.
    private static let claimTime = 600

    private static func sweep(_ workspaces: String) {
        guard let names = try? Files.names(in: workspaces) else { return }
        for name in names {
            let directory = "\(workspaces)/\(name)"
            if name.hasPrefix("live-") {
                if isAbandoned(directory) { Files.removeTree(directory) }
            } else {
                var status = stat()
                if stat(directory, &status) == 0,
                    time(nil) - status.st_mtim.tv_sec > claimTime
                {
                    Files.removeTree(directory)
                }
            }
        }
    }

    /// Whether nobody holds the lock, or it is gone: then a sweep was cut off. What cannot be
    /// opened is somebody's.
    private static func isAbandoned(_ directory: String) -> Bool {
        do {
            let lock = try OwnedDescriptor.open(directory + "/lock", O_RDWR)
            return try Files.lock(lock.raw, waiting: .never, directory)
        } catch {
            return error.code == ENOENT
        }
    }
}
