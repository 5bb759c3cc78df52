import TestSupport
import Testing

extension EndToEnd.CommandHelpTests {
    @Test func helpIsThis() throws {
        let help = try CommandPlace.run(["--help"]).checked().text
        #expect(
            help == """
                OVERVIEW: Serve git repositories from an S3 bucket, behind a web server.

                A FastCGI and CGI program that works like `git http-backend`, with the
                repositories in a bucket instead of a directory. Without a subcommand it runs
                `serve`. If GATEWAY_INTERFACE is set it answers one CGI request and ignores its
                arguments.

                Every option can also be set as a variable, such as GIT_S3_BACKEND_STORE for
                --store. S3 is configured like the AWS tools: AWS_ACCESS_KEY_ID, AWS_PROFILE,
                AWS_REGION, AWS_ENDPOINT_URL_S3.

                EXIT STATUS
                  0   success
                  1   failure; the reason is on standard error
                  64  usage error

                USAGE: git-s3-backend <subcommand>

                OPTIONS:
                  --version               Show the version.
                  -h, --help              Show help information.

                SUBCOMMANDS:
                  serve (default)         Answer FastCGI requests on a socket.
                  create                  Create an empty repository.
                  list                    List the repositories of a store.
                  show                    Show the published state of a repository.
                  rename                  Rename a repository.
                  delete                  Delete a repository.
                  restore                 Restore a deleted repository.
                  import                  Import local repositories.
                  export                  Export repositories to local directories.
                  compact                 Repack a repository into fewer packs.
                  repair                  Find and repair damaged or missing objects.
                  probe                   Check whether a store supports the required
                                          conditional writes.

                  See 'git-s3-backend help <subcommand>' for detailed help.

                """)
    }

    @Test func helpOfServeIsThis() throws {
        let help = try CommandPlace.run(["serve", "--help"]).checked().text
        #expect(
            help == """
                OVERVIEW: Answer FastCGI requests on a socket.

                USAGE: git-s3-backend serve <options>

                OPTIONS:
                  --store <store>         URL of the store: file:///path or s3://bucket/prefix.
                  --state-dir <state-dir> Directory for the cache and temporary repositories.
                        By default $STATE_DIRECTORY, $XDG_CACHE_HOME/git-s3-backend, or a
                        directory of this user in /var/tmp.
                  --allow-shared-state-dir
                                          Allow a state directory that other users own or can
                                          write to.
                  --listen <listen>       Address to listen on: unix:/path or host:port.
                        By default the listening socket that is descriptor 0.
                  --listen-anywhere       Allow --listen on a non-loopback address. FastCGI has
                                          no authentication.
                  --listen-group <listen-group>
                                          Group of the socket that --listen unix:/path creates.
                        By default the group of the process. Anyone who can connect can push as
                        any user.
                  --listen-mode <listen-mode>
                                          Permissions of the socket that --listen unix:/path
                                          creates. (default: 0660)
                  --url-suffix <url-suffix>
                                          Suffix in the URLs of repositories: git, none or
                                          both. (default: both)
                        git serves only OWNER/REPO.git, none only OWNER/REPO.
                  --cache-size <cache-size>
                                          Maximum size of the local cache; 0 disables it.
                                          (default: 10G)
                        The least recently used packs are evicted first.
                  --spool-size <spool-size>
                                          Maximum size of answers and pushes on their way, on
                                          the disk. (default: 2560M)
                        Up to this size git does not wait for slow clients. By default a
                        quarter of --cache-size.
                  --workers <workers>     Maximum number of concurrent requests. (default: 256)
                  --max-git <max-git>     Maximum number of concurrent git processes. (default:
                                          2 per core)
                  --max-body <max-body>   Maximum size of a request body, such as 512M; 0 for
                                          no limit. (default: 0)
                  --queue-timeout <queue-timeout>
                                          Time limit for waiting until a git process is free.
                                          (default: 10m)
                  --git-timeout <git-timeout>
                                          Time limit for git in one request. (default: 1h)
                        The time in which git waits for the client does not count.
                  --push-attempts <push-attempts>
                                          Give up a push after losing this many races.
                                          (default: 20)
                        A push that loses a race is reapplied on top of the other one, unless
                        both change the same ref; 1 answers 409 at once.
                  --push-keepalive <push-keepalive>
                                          Send keep-alives to pushes that take longer than
                                          this; 0 disables them. (default: 5s)
                  --compact-at <compact-at>
                                          Compact a repository in the background once it has
                                          more packs than this; 0 disables it. (default: 50)
                        Each push checks the number. A CGI compacts nothing.
                  --verify-uploads <when> Read each published pack back and check it: on, off
                                          or auto. (default: auto)
                        Once, in the background. auto does so if the S3 store does not check
                        what it is sent. A CGI verifies nothing.
                  --fsck <fsck>           Check pushed objects: strict, warn or off. (default:
                                          strict)
                        strict refuses objects that git fsck complains about, warn only shows
                        the complaints to the pusher, off checks nothing, as git does by
                        default.
                  --fsck-accept <message> Accept pushed objects despite this message of git
                                          fsck; can be repeated.
                        A message ID of git-fsck(1), such as zeroPaddedFilemode.
                  --create-on-push        Create repositories on first push.
                  --version               Show the version.
                  -h, --help              Show help information.


                """)
    }
}
