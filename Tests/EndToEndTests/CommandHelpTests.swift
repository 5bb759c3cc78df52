import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct CommandHelpTests {
        @Test func helpIsThis() throws {
            let help = try CommandPlace.run(["--help"]).checked().text
            #expect(
                help == """
                    OVERVIEW: Serve git repositories out of an S3 bucket, behind a web server.

                    A FastCGI and CGI responder for git's smart HTTP protocol: what `git
                    http-backend` is to a directory, this is to a bucket. Alone, it serves. With
                    GATEWAY_INTERFACE set it answers one CGI request, whatever its arguments.

                    Every option can be given as a variable instead, GIT_S3_BACKEND_STORE for
                    --store and so on. S3 is configured as the AWS tools are: AWS_ACCESS_KEY_ID,
                    AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL_S3.

                    EXIT STATUS
                      0   done
                      1   it failed; standard error says why
                      64  the command line cannot be understood

                    USAGE: git-s3-backend <subcommand>

                    OPTIONS:
                      --version               Show the version.
                      -h, --help              Show help information.

                    SUBCOMMANDS:
                      serve (default)         Serve FastCGI on a socket.
                      create                  Create an empty repository.
                      list                    List the repositories of a store.
                      show                    Show the published state of a repository.
                      rename                  Give a repository another name.
                      delete                  Delete a repository.
                      restore                 Bring a deleted repository back.
                      import                  Publish repositories of this machine.
                      export                  Copy published repositories to this machine.
                      compact                 Fold the packs of a repository into few.
                      repair                  Find and repair damaged or missing objects.
                      probe                   Find out whether a store can be relied on.

                      See 'git-s3-backend help <subcommand>' for detailed help.

                    """)
        }

        @Test func helpOfServeIsThis() throws {
            let help = try CommandPlace.run(["serve", "--help"]).checked().text
            #expect(
                help == """
                    OVERVIEW: Serve FastCGI on a socket.

                    USAGE: git-s3-backend serve <options>

                    OPTIONS:
                      --store <store>         The store: file:///path, or s3://bucket/prefix.
                      --state-dir <state-dir> The directory for workspaces and kept copies.
                            By default $STATE_DIRECTORY, $XDG_CACHE_HOME/git-s3-backend, or a
                            directory of this user under /var/tmp.
                      --allow-shared-state-dir
                                              Accept a state directory that other users own or can
                                              write to.
                      --listen <listen>       Where to listen: unix:/path or host:port.
                            By default descriptor 0, if it is a listening socket.
                      --listen-anywhere       Let --listen name an address beyond loopback. FastCGI
                                              has no authentication.
                      --listen-group <listen-group>
                                              Group of the socket that --listen unix: creates.
                            By default this process's. Anyone who can connect can push as any user.
                      --listen-mode <listen-mode>
                                              Permissions of the socket that --listen unix:
                                              creates. (default: 0660)
                      --url-suffix <url-suffix>
                                              URLs of repositories: git, none or both. (default:
                                              both)
                            Serve OWNER/REPO.git only, OWNER/REPO only, or both.
                      --cache-size <cache-size>
                                              Bytes of the state directory for copies of packs.
                                              (default: 10G)
                            What was used least recently goes first; 0: nothing is kept between
                            requests.
                      --workers <workers>     Requests at once. (default: 64)
                      --max-git <max-git>     git processes at once. (default: 2 for each core)
                      --max-body <max-body>   Bytes that a request's body may have, as 512M; 0: no
                                              limit. (default: 0)
                      --git-timeout <git-timeout>
                                              How long git may take for one request. (default: 1h)
                      --push-attempts <push-attempts>
                                              How often a push is tried. (default: 20)
                            A push that another one came before is applied on top of it where the
                            two do not touch; 1: it is answered with 409 at once.
                      --push-keepalive <push-keepalive>
                                              After how long a push that is not done is kept alive;
                                              0: never. (default: 5s)
                      --compact-at <compact-at>
                                              Packs that a repository may have. (default: 50)
                            A push that leaves more has it compacted in the background; 0: none is.
                            A CGI compacts nothing.
                      --verify-uploads <when> Read each published pack back and check it: on, off
                                              or auto. (default: auto)
                            In the background, once. auto: if the S3 store does not check what it
                            is sent. A CGI verifies nothing.
                      --fsck <fsck>           Check pushed objects: strict, warn or off. (default:
                                              strict)
                            strict refuses what git fsck complains about, warn only shows it to the
                            pusher, off checks nothing, as git does by default.
                      --fsck-accept <message> Accept pushed objects despite this message of git
                                              fsck; can be repeated.
                            A message ID of git-fsck(1), such as zeroPaddedFilemode.
                      --create-on-push        Let a push create the repository that it names.
                      --version               Show the version.
                      -h, --help              Show help information.


                    """)
        }

        /// What stands at the end of the help of each command that works on a store.
        private static let storeHelp = """
              --store <store>         The store: file:///path, or s3://bucket/prefix.
              --state-dir <state-dir> The directory for workspaces and kept copies.
                    By default $STATE_DIRECTORY, $XDG_CACHE_HOME/git-s3-backend, or a
                    directory of this user under /var/tmp.
              --allow-shared-state-dir
                                      Accept a state directory that other users own or can
                                      write to.
              --version               Show the version.
              -h, --help              Show help information.


            """

        private func expectHelp(
            of command: String, _ expected: String,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let help = try CommandPlace.run([command, "--help"]).checked().text
            #expect(help == expected + Self.storeHelp, sourceLocation: sourceLocation)
        }

        @Test func helpOfListIsThis() throws {
            try expectHelp(
                of: "list",
                """
                OVERVIEW: List the repositories of a store.

                One name a line, in the order of their bytes. A repository that cannot be read
                is named on standard error, and the exit status is 1 then.

                USAGE: git-s3-backend list [--deleted] [--json] [--store <store>] \
                [--state-dir <state-dir>] \
                [--allow-shared-state-dir]

                OPTIONS:
                  --deleted               List those that were deleted or renamed instead.
                  --json                  One JSON object a line for each repository: name,
                                          manifest, head, counts.

                """)
        }

        @Test func helpOfShowIsThis() throws {
            try expectHelp(
                of: "show",
                """
                OVERVIEW: Show the published state of a repository.

                With --json also that of a deleted one, which has no refs and no packs, and
                whose parent is the last state.

                USAGE: git-s3-backend show <repository> [--json] [--sizes] \
                [--manifest <manifest>] [--store <store>] [--state-dir <state-dir>] \
                [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            The repository, OWNER/REPO.

                OPTIONS:
                  --json                  As one JSON object.
                  --sizes                 With the size of each pack, in bytes: one look-up for
                                          each.
                  --manifest <manifest>   An earlier state, by its manifest's digest; also of a
                                          deleted repository.

                """)
        }

        @Test func helpOfRenameIsThis() throws {
            try expectHelp(
                of: "rename",
                """
                OVERVIEW: Give a repository another name.

                The old name is not found any more, and is not redirected; a push in flight to
                it is refused. The new name must be free.

                A renaming that was cut off leaves neither name, and everything kept: --resume
                finishes it, 'restore' undoes it.

                USAGE: git-s3-backend rename <repository> <new-name> [--resume] \
                [--store <store>] [--state-dir <state-dir>] \
                [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            The repository, OWNER/REPO.
                  <new-name>              Its new name, OWNER/REPO.

                OPTIONS:
                  --resume                Finish a renaming that was cut off.

                """)
        }

        @Test func helpOfDeleteIsThis() throws {
            try expectHelp(
                of: "delete",
                """
                OVERVIEW: Delete a repository.

                The repository is not found any more, and a push in flight is refused. Nothing
                that it holds is removed from the store: 'restore' brings it back.

                On a terminal you are asked for its name once more; elsewhere it takes --yes.

                USAGE: git-s3-backend delete <repository> [--yes] [--store <store>] \
                [--state-dir <state-dir>] \
                [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            The repository, OWNER/REPO.

                OPTIONS:
                  --yes                   Do not ask.

                """)
        }

        @Test func helpOfRestoreIsThis() throws {
            try expectHelp(
                of: "restore",
                """
                OVERVIEW: Bring a deleted repository back.

                Publishes the state that it had when it was deleted, or another that it had
                before. A repository that is there is left alone: delete it first.

                USAGE: git-s3-backend restore <repository> [--manifest <manifest>] \
                [--store <store>] [--state-dir <state-dir>] \
                [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            The repository, OWNER/REPO.

                OPTIONS:
                  --manifest <manifest>   The state to go back to, by its manifest's digest.
                        By default the last one before the deletion.

                """)
        }

        @Test func helpOfRepairIsThis() throws {
            try expectHelp(
                of: "repair",
                """
                OVERVIEW: Find and repair damaged or missing objects.

                Reads every object that the published state needs and checks its SHA-256. A
                damaged or missing pack or manifest is rewritten from a good copy in the cache
                of the state directory, or from --from; an index is rebuilt from its pack. Good
                objects stay as they are, and pushes may go on.

                The exit status is 0 if everything is good at the end, 1 otherwise.

                USAGE: git-s3-backend repair [<repository>] [--all] [--from <directory> ...] \
                [--dry-run] [--quiet] [--store <store>] [--state-dir <state-dir>] \
                [--allow-shared-state-dir]

                ARGUMENTS:
                  <repository>            The repository, OWNER/REPO.

                OPTIONS:
                  --all                   Check every repository in the store.
                  --from <directory>      Look for good copies in this directory, too; can be
                                          repeated.
                        Files are recognized by their contents, whatever their names: another
                        machine's state directory, or a copy of the bucket.
                  --dry-run               Report what is damaged, and write nothing.
                  --quiet                 Show no progress.

                """)
        }
    }
}
