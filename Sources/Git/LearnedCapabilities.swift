import Bytes
package import GitProtocol
import Glibc
import Posix
import Synchronization

/// The advertisements of the installed git, learned from it under the pinned configuration and
/// stored in the state directory under git's path, size and time. None is written by hand, since
/// they differ between versions of git.
package final class LearnedCapabilities: Sendable {
    private let git: GitProgram
    private let state: StateDirectory
    private let known = Mutex<[String: [UInt8]]>([:])

    package init(git: GitProgram, state: StateDirectory) {
        self.git = git
        self.state = state
    }

    /// The repository from which an advertisement is learned.
    private enum Scratch: String {
        /// A repository without refs.
        case empty
        /// A repository with one commit, on HEAD's branch.
        case born
    }

    /// The capabilities of a service in protocol v0 or v1.
    package func capabilities(
        of service: GitService, _ version: ProtocolVersion, _ format: ObjectFormat,
        limits: GitLimits
    ) throws -> AdvertisedCapabilities {
        try AdvertisedCapabilities(
            parsing: advertisement(of: service, version, format, from: .born, limits))
    }

    /// A complete advertisement of a repository without refs, which in version 2 is that of any
    /// repository.
    package func advertisementWithoutRefs(
        of service: GitService, _ version: ProtocolVersion, _ format: ObjectFormat,
        limits: GitLimits
    ) throws -> [UInt8] {
        try advertisement(of: service, version, format, from: .empty, limits)
    }

    private func advertisement(
        of service: GitService, _ version: ProtocolVersion, _ format: ObjectFormat,
        from scratch: Scratch, _ limits: GitLimits
    ) throws -> [UInt8] {
        let name = "\(service.rawValue)-\(version.rawValue)-\(format.rawValue)-\(scratch.rawValue)"
        if let learned = known.withLock({ $0[name] }) { return learned }

        try state.ensure()
        let directory = try "\(state.path)/capabilities/\(git.identity)"
        let path = "\(directory)/\(name)"
        let learned: [UInt8]
        // A copy that is missing, or was truncated by a crash, is learned again.
        if let kept = try? Files.read(path), kept.suffix(4).elementsEqual(PktLine.flushBytes) {
            learned = kept
        } else {
            learned = try learn(service, version, format, scratch, limits)
            try Files.makeDirectories(directory)
            let temporary = "\(path).\(Hex.random(bytes: 8))"
            try Files.write(learned, to: temporary)
            _ = try check("rename", path) { rename(temporary, path) }
        }
        known.withLock { $0[name] = learned }
        return learned
    }

    private func learn(
        _ service: GitService, _ version: ProtocolVersion, _ format: ObjectFormat,
        _ scratch: Scratch, _ limits: GitLimits
    ) throws -> [UInt8] {
        let head = RefName.main
        let workspace = try Workspace.scratch(format, in: state)
        if scratch == .born {
            let tree = try run(["hash-object", "-w", "-t", "tree", "/dev/null"], limits, workspace)
            let identity = ["-c", "user.name=git-s3-backend", "-c", "user.email=none@invalid"]
            let commit = try run(
                identity + ["commit-tree", "-m", "scratch", tree], limits, workspace)
            _ = try run(["update-ref", head.description, commit], limits, workspace)
        }
        let client = GitProgram.Client(user: "", address: "", protocolVersion: version.header)
        return try git.advertisement(of: service, in: workspace, for: client, limits: limits)
    }

    private func run(
        _ arguments: [String], _ limits: GitLimits, _ workspace: borrowing Workspace
    ) throws -> String {
        let result = try git.output(
            GitRun(arguments, to: "learn its capabilities", limits: limits), in: workspace)
        try result.ending.require()
        return result.text.first ?? ""
    }
}

extension GitProgram {
    /// An identity that changes with the program and with the pinned configuration.
    var identity: String {
        get throws(SystemError) {
            var status = stat()
            if stat(path, &status) != 0 { throw SystemError("stat", path) }
            let time = "\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
            let text = "\(path) \(status.st_size) \(time) \(pinned.joined(separator: " "))"
            return String(Digest(of: Array(text.utf8)).hex.prefix(32))
        }
    }

    /// The advertisement of a service, as `git http-backend` obtains it.
    package func advertisement(
        of service: GitService, in workspace: borrowing Workspace, for client: Client,
        limits: GitLimits
    ) throws -> [UInt8] {
        let result = try output(
            GitRun(
                [service.rawValue, "--http-backend-info-refs", "."],
                to: "advertise \(service.rawValue)", limits: limits, client: client),
            in: workspace)
        try result.ending.require()
        return result.bytes
    }
}
