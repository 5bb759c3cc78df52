package import Git
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
        limits: GitLimits, output: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> GitEnding {
        try git.run(
            GitRun(
                ["upload-pack", "--stateless-rpc", "."], to: "answer a fetch", limits: limits,
                input: .stream(body, after: []), client: client),
            in: workspace, output: output)
    }
}
