import Glibc
package import Posix

/// Runs git in a workspace for a reader.
package struct UploadPack {
    let git: GitProgram
    let client: GitProgram.Client

    package init(git: GitProgram, client: GitProgram.Client) {
        self.git = git
        self.client = client
    }

    /// A service that is advertised. gitprotocol-http(5).
    package enum Service: String, Sendable {
        case uploadPack = "upload-pack"
        case receivePack = "receive-pack"
    }

    /// The advertisement of a service, as `git http-backend` gets it.
    package func advertisement(
        of service: Service, in workspace: borrowing Workspace
    ) throws -> [UInt8] {
        let step = "advertise \(service.rawValue)"
        let result = try git.run(
            [service.rawValue, "--http-backend-info-refs", "."], in: workspace, for: client,
            step: step)
        guard result.ending == .exited(0) else {
            throw GitError.failed(step: step, reason: "\(result.ending): \(workspace.gitErrors())")
        }
        return result.output
    }

    /// Answers a fetch, or `ls-refs`.
    ///
    /// - Returns: how git ended. Its output reports protocol errors to the client.
    package func answer(
        _ body: any ByteStream, in workspace: borrowing Workspace,
        deadline: ContinuousClock.Instant, output: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> ChildProcess.Ending {
        let exchange = GitExchange(
            git: git, step: "answer a fetch", preamble: [], body: body, deadline: deadline)
        return try exchange.run(
            ["upload-pack", "--stateless-rpc", "."], in: workspace, for: client, output: output)
    }
}
