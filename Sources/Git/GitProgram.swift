import Glibc
import Posix

/// The installed git, which runs under a pinned configuration and an environment built from
/// scratch.
package struct GitProgram: Sendable {
    /// The executable.
    package let path: String
    /// The way in which it checks the objects of pushes.
    package internal(set) var pushCheck = PushObjectCheck.strict

    /// Finds the first `git` in a search path such as `$PATH`; nil if there is none.
    package init?(searching searchPath: String) {
        let candidates = searchPath.split(separator: ":").map { "\($0)/git" }
        let found = candidates.first { access($0, X_OK) == 0 }
        guard let found else { return nil }
        path = found
    }

    /// The client, as hooks and reflogs see it.
    package struct Client: Sendable {
        package var user: String
        package var address: String
        /// The value of Git-Protocol, such as `version=2`; empty if there is none.
        package var protocolVersion: String

        package init(user: String, address: String, protocolVersion: String) {
            self.user = user
            self.address = address
            self.protocolVersion = protocolVersion
        }
    }

    /// The configuration of every run, on the command line, where no file overrides it.
    ///
    /// ``PushObjectCheck`` adds to it.
    ///
    /// `core.fsync=none`: a workspace is disposable, and published objects are synced by the store.
    /// `receive.unpackLimit` and `transfer.unpackLimit`: a push is kept as the pack in which it
    /// arrived, however small. `uploadpack.allowAnySHA1InWant`: the objects that a partial clone
    /// fetches later are not tips, and protocol v2 allows this anyway. The allowed filters are
    /// those that a bitmap answers: `sparse:oid`, `tree:1` and deeper ones would walk all trees for
    /// each request.
    private static let configuration = [
        "core.fsync=none",
        "core.logAllRefUpdates=false",
        "gc.auto=0",
        "maintenance.auto=false",
        "receive.autogc=false",
        "receive.updateServerInfo=false",
        "receive.unpackLimit=1",
        "transfer.unpackLimit=1",
        "receive.shallowUpdate=false",
        "receive.advertisePushOptions=true",
        "receive.advertiseAtomic=true",
        "receive.keepAlive=0",
        "transfer.advertiseSID=false",
        "uploadpack.allowFilter=true",
        "uploadpack.allowAnySHA1InWant=true",
        "uploadpackfilter.allow=false",
        "uploadpackfilter.blob:none.allow=true",
        "uploadpackfilter.blob:limit.allow=true",
        "uploadpackfilter.object:type.allow=true",
        "uploadpackfilter.tree.allow=true",
        "uploadpackfilter.tree.maxDepth=0",
        "uploadpackfilter.combine.allow=true",
    ]

    /// The pinned configuration, which is part of the identity under which learned data is stored.
    var pinned: [String] { Self.configuration + pushCheck.configuration }

    /// The arguments and the environment of a run; the caller owns the descriptors.
    func launch(
        _ run: GitRun, in workspace: borrowing Workspace, input: Int32, output: Int32, error: Int32
    ) -> ChildProcess.Launch {
        let configuration =
            pinned + ["core.hooksPath=\(workspace.path)/hooks"] + run.settings.configuration
        let options = configuration.flatMap { ["-c", $0] }
        let directory = Files.parent(of: path) ?? "/usr/bin"
        var environment = [
            "PATH=\(directory):/usr/local/bin:/usr/bin:/bin",
            "HOME=\(workspace.path)",
            "XDG_CONFIG_HOME=\(workspace.path)",
            "TMPDIR=\(workspace.path)",
            "LC_ALL=C.UTF-8",
            "GIT_CONFIG_NOSYSTEM=1",
            "GIT_CONFIG_SYSTEM=/dev/null",
            "GIT_CONFIG_GLOBAL=/dev/null",
            "GIT_ATTR_NOSYSTEM=1",
            "GIT_TERMINAL_PROMPT=0",
            // Anyone can push to refs/replace/, so the actual objects are checked, peeled and sent.
            "GIT_NO_REPLACE_OBJECTS=1",
        ]
        environment += run.settings.environment(in: workspace)
        if let client = run.client {
            environment += Self.environment(of: client)
        }
        return ChildProcess.Launch(
            path: path, arguments: options + run.arguments, environment: environment,
            directory: workspace.path, input: input, output: output, error: error,
            channel: run.channel)
    }

    /// As `git http-backend` sets them, git-http-backend(1).
    private static func environment(of client: Client) -> [String] {
        let user = client.user.isEmpty ? "anonymous" : client.user
        let address = client.address.isEmpty ? "(none)" : client.address
        var environment = [
            "REMOTE_USER=\(client.user)",
            "REMOTE_ADDR=\(client.address)",
            "GIT_COMMITTER_NAME=\(user)",
            "GIT_COMMITTER_EMAIL=\(user)@http.\(address)",
        ]
        if !client.protocolVersion.isEmpty {
            environment.append("GIT_PROTOCOL=\(client.protocolVersion)")
        }
        return environment
    }
}
