from streamwarm.cli import main

main()
