package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stadion/offers/minimesos/agent"
)

// shimCommand is the hidden sub-command that the miniature's agents start tasks with.
const shimCommand = "task-shim"

func main() {
	if len(os.Args) > 1 && os.Args[1] == shimCommand {
		os.Exit(agent.ShimMain(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stadion:", err)
	}
	os.Exit(codeOf(err))
}

// rootCommand is the tree of sub-commands. Flags are parsed by our own table, so that their names, their environment
// form and their errors are Marathon's.
func rootCommand() *cobra.Command {
	root := &cobra.Command{Use: "stadion", Short: "a drop-in replacement for Marathon", SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}, SuggestionsMinimumDistance: 2, Args: cobra.ArbitraryArgs, RunE: noCommand}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exitWith(exitFlag, "invalid command line: %w", err) })
	root.AddCommand(
		sub("server", "the server: schedules on Apache Mesos, keeps its state in etcd", serverRows(), runServer),
		sub("dev", "everything on this machine: etcd, a miniature Mesos and the server", append(devRows(), serverRows()...), runDev),
		sub("minimesos", "the miniature Mesos alone", minimesosRows(), runMinimesos),
		sub("backup FILE", "write everything the servers store into a file", storeRows(), runBackup),
		sub("import FILE", "make a backup out of a running Marathon, so that a server goes on with its tasks", importRows(), runImport),
		sub("restore FILE", "replace what the servers store by a backup", storeRows(), runRestore),
		versionCommand(),
	)
	return root
}

// noCommand is stadion with a word that is no command, or with none.
func noCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return root.Help()
	}
	hint := ""
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + near[0] + "?"
	}
	return exitWith(exitFlag, "unknown command %q%s stadion --help lists all commands", args[0], cmp.Or(hint, ";"))
}

func versionCommand() *cobra.Command {
	c := &cobra.Command{Use: "version", Short: "what this binary is", Args: func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return exitWith(exitFlag, "invalid command line: unexpected argument %q", args[0])
		}
		return nil
	}}
	list := c.Flags().Bool("sbom", false, "list all that is built in (CycloneDX)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !*list {
			fmt.Fprintln(c.OutOrStdout(), versionText())
			return nil
		}
		text, err := sbom()
		if err == nil {
			_, err = fmt.Fprintln(c.OutOrStdout(), string(text))
		}
		return err
	}
	return c
}

// sub makes a sub-command whose flags are the given rows. A second word of use names its argument.
func sub(use, about string, rows []flagRow, run func(context.Context, *flagSet) error) *cobra.Command {
	name, wants, _ := strings.Cut(use, " ")
	return &cobra.Command{Use: use, Short: about, DisableFlagParsing: true, RunE: func(c *cobra.Command, args []string) error {
		f := newFlagSet(name, rows)
		f.wants = wants
		switch err := f.parse(args, os.Environ()); {
		case errors.Is(err, pflag.ErrHelp):
			usage(use, about, rows)
			return nil
		case err != nil:
			return err
		}
		return run(c.Context(), f)
	}}
}
