import ArgumentParser

/// The command line.
struct GitS3Backend: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "git-s3-backend",
        abstract: "Serve git repositories out of an S3 bucket, behind a web server.",
        discussion: """
            A FastCGI and CGI responder for git's smart HTTP protocol: what `git http-backend` is \
            to a directory, this is to a bucket. Alone, it serves. With GATEWAY_INTERFACE set it \
            answers one CGI request, whatever its arguments.

            Every option can be given as a variable instead, GIT_S3_BACKEND_STORE for --store and \
            so on. S3 is configured as the AWS tools are: AWS_ACCESS_KEY_ID, AWS_PROFILE, \
            AWS_REGION, AWS_ENDPOINT_URL_S3.

            EXIT STATUS
              0   done
              1   it failed; standard error says why
              64  the command line cannot be understood
            """,
        version: "0.1.0",
        subcommands: [
            ServeCommand.self, CreateCommand.self, ListCommand.self, ShowCommand.self,
            RenameCommand.self, DeleteCommand.self, RestoreCommand.self,
            ImportCommand.self, ExportCommand.self, CompactCommand.self,
            RepairCommand.self, ProbeCommand.self,
        ],
        defaultSubcommand: ServeCommand.self)
}
