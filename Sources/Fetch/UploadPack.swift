package import Repository
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
