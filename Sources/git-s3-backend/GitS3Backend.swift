import ArgumentParser

/// The command line.
struct GitS3Backend: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "git-s3-backend",
        abstract: "Serve git repositories from an S3 bucket, behind a web server.",
        discussion: """
            A FastCGI and CGI program that works like `git http-backend`, with the repositories in \
            a bucket instead of a directory. Without a subcommand it runs `serve`. If \
            GATEWAY_INTERFACE is set it answers one CGI request and ignores its arguments.

            Every option can also be set as a variable, such as GIT_S3_BACKEND_STORE for --store. \
            S3 is configured like the AWS tools: AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_REGION, \
            AWS_ENDPOINT_URL_S3.

            EXIT STATUS
              0   success
              1   failure; the reason is on standard error
              64  usage error
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
